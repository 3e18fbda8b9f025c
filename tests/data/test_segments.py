"""Long recordings are cut at pauses: nothing of the speech is lost, and no utterance is too long."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import soundfile
from made_corpora import validate
from needs import need

from kdasr.cli import main
from kdasr.data.places import Place
from kdasr.data.recording import resample, trim
from kdasr.data.segments import Cutting, cut_frames, cuts_of, quietest, runs
from kdasr.data.speed import change_speed
from kdasr.data.utterances import audio_of
from kdasr.data.voice import FRAME_SECONDS, Voice, listen
from kdasr.data.voices import RATE, Espeak, Settings, make_speakers
from kdasr.files import read_table, write_table

SENTENCES = ["the price of oil rose again", "nobody had asked the chairman", "seven of the banks are closed"] * 3
FRAME = FRAME_SECONDS


def flags(*lengths):
    """bool (frames,): silence, speech, silence, ... of these lengths."""
    return np.concatenate([np.full(length, number % 2 == 1) for number, length in enumerate(lengths)])


def test_utterances_by_hand():
    """A pause of 16 frames (0.512 s) ends one, of 15 does not; margins of 8 frames (0.256 s), or half of a pause."""
    level = np.zeros(1000)
    how = Cutting(max_seconds=20, min_pause=16 * FRAME, margin=8 * FRAME)
    assert cut_frames(flags(50, 40, 15, 30, 100), level, how) == [(42, 143)]
    assert cut_frames(flags(50, 40, 16, 30, 100), level, how) == [(42, 98), (98, 144)]
    assert cut_frames(flags(5, 40, 40, 30, 3), level, how) == [(0, 53), (77, 118)]  # no margin behind the ends
    assert cut_frames(flags(50, 2, 50, 3, 50), level, how) == [(94, 113)]  # two frames are a click
    broad = Cutting(max_seconds=20, min_pause=16 * FRAME, margin=10 * FRAME)  # of two margins the pause has no room
    assert cut_frames(flags(50, 40, 16, 30, 100), level, broad) == [(40, 98), (98, 146)]
    wide = Cutting(max_seconds=20, min_pause=16 * FRAME, margin=0)
    assert cut_frames(flags(50, 40, 16, 30, 100), level, wide) == [(50, 90), (106, 136)]
    assert cut_frames(flags(50), level, how) == [] == cut_frames(flags(0), level[:0], how)


def test_a_long_utterance_is_cut_in_its_longest_pause_or_where_it_is_quiet():
    how = Cutting(max_seconds=100 * FRAME + 0.02, min_pause=1.0, margin=0)  # 100 frames at most
    level = np.zeros(400)
    assert cut_frames(flags(0, 60, 4, 10, 10, 66), level, how) == [(0, 79), (79, 150)]  # of two pauses the longer
    level[70:75] = -30
    level[80] = -40  # a moment is no quiet place
    assert cut_frames(flags(0, 150), level, how) == [(0, 72), (72, 150)]
    assert cut_frames(flags(0, 100), level, how) == [(0, 100)]
    for length in range(101, 400):
        found = cut_frames(flags(0, length), np.random.default_rng(length).standard_normal(length), how)
        assert found[0][0] == 0 and found[-1][1] == length
        assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
        assert all(12 <= end - start <= 100 for start, end in found)


def test_the_quietest_place():
    assert quietest(flags(0, 20, 3, 20, 2, 20), np.zeros(65)) == 21
    assert quietest(flags(0, 20, 2, 20), np.r_[np.zeros(30), -9 * np.ones(5), np.zeros(7)]) == 32
    assert runs(flags(0, 2, 1, 3)) == [(0, 2), (3, 6)] and runs(flags(4)) == []


def test_times_are_those_of_the_recording():
    """The part of a span; a last frame that is not full ends where the audio does."""
    speech = np.zeros(100, np.float32)
    speech[10:20] = speech[80:] = 0.3
    voice = Voice(speech, np.zeros(100, np.float32), 3.19)
    how = Cutting(margin=0)
    assert cuts_of(voice, None, how) == [(32, 64), (256, 319)]
    assert cuts_of(voice, (0.5, 2.7), how) == [(51, 64), (256, 269)]  # its frames are those from 0.512 s on
    assert cuts_of(voice, (2.0, -1.0), how) == [(256, 319)]


@pytest.fixture(scope="module")
def spoken():
    """Sentences with gaps of faint noise between: int16 (n,), and where each is, in seconds."""
    need("espeak")
    espeak, rng = Espeak(), np.random.default_rng(1)
    parts, spans, at = [], [], 0
    for number, speaker in enumerate(make_speakers([f"s{n:02d}" for n in range(9)], 0, Settings(), 1)):
        said = trim(resample(espeak.say(SENTENCES[number], speaker.voice, speaker.rate, speaker.pitch), espeak.rate))
        gap = np.zeros(int(rng.uniform(0.9, 2.5) * RATE))
        parts += [gap, said / np.abs(said).max() * 9000]
        spans.append(((at + len(gap)) / RATE, (at + len(gap) + len(said)) / RATE))
        at += len(gap) + len(said)
    samples = np.concatenate(parts)
    return np.rint(samples + rng.standard_normal(len(samples)) * 15).astype(np.int16), spans


def cut(source, out, *more):
    return main(["data", "segments", "--in", str(source), "--out", str(out), "--nj", "1", *map(str, more)])


def times(out):
    """Start and end of each utterance, in the order of `segments`."""
    return [tuple(map(float, line.split()[1:3])) for line in read_table(out / "segments").values()]


def covered(spans, found):
    """Seconds of each span that no utterance has."""
    return [
        max(0.0, (end - start) - sum(max(0.0, min(b, end) - max(a, start)) for a, b in found)) for start, end in spans
    ]


def test_a_recording_of_sentences(spoken, tmp_path, capsys):
    """Every sentence is in an utterance, whole, and no two are in one, as there are gaps; twice the same."""
    samples, spans = spoken
    soundfile.write(tmp_path / "long.wav", samples, RATE)
    (tmp_path / "audio").mkdir()
    (tmp_path / "long.wav").rename(tmp_path / "audio/long.wav")
    assert cut(tmp_path / "audio", tmp_path / "out") == 0
    found = times(tmp_path / "out")
    assert len(found) == len(spans) == 9
    for (start, end), (a, b) in zip(spans, found, strict=True):
        assert a <= start + 0.02 and end - 0.05 <= b and b - a < end - start + 0.8
    assert "out: 9 utterances, 1 speakers; 1 of 1 recordings cut into 9 utterances\n" in capsys.readouterr().out
    name, line = next(iter(read_table(tmp_path / "out/segments").items()))
    assert name == f"long-{round(found[0][0] * 100):07d}-{round(found[0][1] * 100):07d}"
    assert line == f"long {found[0][0]:.2f} {found[0][1]:.2f}"
    assert read_table(tmp_path / "out/wav.scp") == {"long": str(tmp_path / "audio/long.wav")}
    assert set(read_table(tmp_path / "out/utt2spk").values()) == {"long"}
    validate(tmp_path / "out", "--no-text")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert cut(tmp_path / "audio", tmp_path / "again") == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == before


def test_speech_without_a_pause_is_all_there(spoken, tmp_path):
    samples, spans = spoken
    (tmp_path / "audio").mkdir()
    soundfile.write(
        tmp_path / "audio/long.flac", np.concatenate([samples[int(a * RATE) : int(b * RATE)] for a, b in spans]), RATE
    )
    seconds = sum(end - start for start, end in spans)
    assert cut(tmp_path / "audio", tmp_path / "out", "--max_seconds", 5) == 0
    found = times(tmp_path / "out")
    assert max(end - start for start, end in found) <= 5
    assert found[0][0] == 0 and seconds - found[-1][1] < 0.05
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))


def test_directories_channels_and_rates(spoken, tmp_path, capsys):
    """Utterances of `segments` are cut within; one that is short stays; speakers are kept, and transcripts are not."""
    samples, spans = spoken
    samples = change_speed(samples, Fraction(RATE, 44100))
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "r.wav", np.stack([np.zeros_like(samples), samples], 1), 44100)
    first, last = (spans[1][0] - 0.5, spans[3][1] + 0.5), (spans[4][0] - 0.5, spans[4][1] + 0.5)
    write_table(tmp_path / "in/wav.scp", {"r": str(tmp_path / "r.wav"), "unused": "none.wav"})
    write_table(
        tmp_path / "in/segments", {"a-1": f"r {first[0]:.2f} {first[1]:.2f}", "a-2": f"r {last[0]:.2f} {last[1]:.2f}"}
    )
    write_table(tmp_path / "in/utt2spk", {"a-1": "a", "a-2": "a"})
    write_table(tmp_path / "in/spk2gender", {"a": "f"})
    write_table(tmp_path / "in/utt2dur", {"a-1": "9", "a-2": "1"})
    write_table(tmp_path / "in/text", {"a-1": "MANY WORDS", "a-2": "A WORD"})
    assert cut(tmp_path / "in", tmp_path / "out") == 1
    assert "r.wav: 2 channels, expected 1" in capsys.readouterr().err
    assert cut(tmp_path / "in", tmp_path / "out", "--channel", 2, "--whole_up_to", last[1] - last[0] + 0.1) == 0
    assert "transcripts left out" in capsys.readouterr().out
    table = read_table(tmp_path / "out/segments")
    assert table["a-2"] == f"r {last[0]:.2f} {last[1]:.2f} 1" and len(table) == 4
    pieces = [(key, *line.split()) for key, line in table.items() if key != "a-2"]
    for (key, recording, start, end, channel), span in zip(pieces, spans[1:4], strict=True):
        assert (recording, channel) == ("r", "1") and max(covered([span], [(float(start), float(end))])) < 0.07
        assert key == f"a-1-{round((float(start) - first[0]) * 100):07d}-{round((float(end) - first[0]) * 100):07d}"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "wav.scp",
        "segments",
        "utt2spk",
        "spk2utt",
        "spk2gender",
    }
    assert list(read_table(tmp_path / "out/wav.scp")) == ["r"]
    assert set(read_table(tmp_path / "out/utt2spk").values()) == {"a"}
    assert len(audio_of(tmp_path / "out")) == 4


def test_a_list_without_speakers_and_several_processes(spoken, tmp_path):
    samples, spans = spoken
    for name, part in (("b", samples[: int(spans[2][1] * RATE)]), ("c", samples[int(spans[2][1] * RATE) :])):
        soundfile.write(tmp_path / f"{name}.wav", part, RATE)
    write_table(tmp_path / "in/wav.scp", {name: str(tmp_path / f"{name}.wav") for name in "bc"})
    assert cut(tmp_path / "in", tmp_path / "one") == 0
    assert cut(tmp_path / "in", tmp_path / "two", "--nj", 2) == 0
    for name in ("segments", "utt2spk"):
        assert read_table(tmp_path / "one" / name) == read_table(tmp_path / "two" / name)
    speakers = read_table(tmp_path / "one/utt2spk")
    assert list(speakers.values()) == ["b"] * 3 + ["c"] * 6
    validate(tmp_path / "one", "--no-text")


def test_what_holds_no_speech(tmp_path, capsys, spoken):
    noise = (np.random.default_rng(0).standard_normal(4 * RATE) * 300).astype(np.int16)
    hum = np.rint(3000 * np.sin(np.arange(4 * RATE) * 2 * np.pi * 100 / RATE)).astype(np.int16)
    (tmp_path / "audio").mkdir()
    for name, samples in (("empty", noise[:0]), ("hum", hum), ("noise", noise), ("zeros", 0 * noise)):
        soundfile.write(tmp_path / "audio" / f"{name}.wav", samples, RATE)
    assert cut(tmp_path / "audio", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "no speech is heard in any of 4 recordings, as empty; listen to it" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    soundfile.write(tmp_path / "audio/said.wav", spoken[0][: 4 * RATE], RATE)
    assert cut(tmp_path / "audio", tmp_path / "out") == 0
    assert "WARNING: no speech is heard in empty, hum, noise, zeros, left out" in capsys.readouterr().out
    assert list(read_table(tmp_path / "out/wav.scp")) == ["said"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--max_seconds", 1), "--max_seconds 1.0: expected 2.0 or more"),
        (("--min_pause", -1), "--min_pause -1.0: expected 0 or more"),
        (("--channel", 0), "--channel 0: expected 1 or more"),
        (("--channel", 2), "has 1 channel(s), and number 2 is asked for"),
    ],
)
def test_wrong_options(tmp_path, capsys, more, said):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio/a.wav", np.zeros(800), RATE)
    assert cut(tmp_path / "audio", tmp_path / "out", *more) == 1
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_wrong_directories(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for prepare, out, said in (
        (lambda: None, "out", "no audio is in it (0 other files)"),
        (lambda: write_table(tmp_path / "in/utt2spk", {"a": "a"}), "out", "in/wav.scp: no such file"),
        (
            lambda: write_table(tmp_path / "in/wav.scp", {"a": "none.wav", "b": "x.wav"}),
            "out",
            "in/utt2spk: b is missing",
        ),
        (lambda: write_table(tmp_path / "in/utt2spk", {"a": "a", "b": "a"}), "out", "none.wav: no such file"),
        (lambda: write_table(tmp_path / "in/utt2speed", {"a": "0.9"}), "out", "cut the originals"),
        (lambda: None, "in", "would be replaced by what it is cut into"),
    ):
        prepare()
        assert cut(tmp_path / "in", tmp_path / out) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_frames_and_levels(tmp_path):
    """A frame is 32 ms at any rate; a full sine has -3 dB; blocks do not show."""
    tone = np.rint(32767 * np.sin(np.arange(40 * 8000) * 2 * np.pi * 500 / 8000)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", tone, 8000)
    voice = listen(Place(str(tmp_path / "a.wav")), "a")
    assert voice.seconds == 40 and len(voice.speech) == len(voice.level) == 1250
    assert np.abs(voice.level + 3.01).max() < 0.3
