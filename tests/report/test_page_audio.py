"""The clips that the page carries."""

import base64
import io

import numpy as np
import pytest
from report_inputs import tone
from test_report_table import REFERENCES, SEQUENCE, exp, write_decode, write_model  # noqa: F401 - a fixture

from kdasr.data.places import Place
from kdasr.errors import UserError
from kdasr.report import (
    audio,
)


def decoded(uri):
    import soundfile

    kind, _, data = uri.partition(",")
    assert kind == "data:audio/ogg;base64"
    return soundfile.read(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("rate", [16000, 22050])
def test_a_clip_sounds_as_its_recording(tmp_path, rate):
    samples, found = decoded(audio.encode(Place(str(tone(tmp_path / "a.wav", 1.5, rate))), None))
    assert len(samples) / found == pytest.approx(1.5, abs=0.01)
    peak = np.fft.rfft(samples * np.hanning(len(samples)))
    assert np.abs(peak).argmax() / len(samples) * found == pytest.approx(0.1 * rate / (2 * np.pi), rel=0.01)


def test_clips_follow_segments_and_stop_where_there_is_no_more_room(tmp_path):
    data = tmp_path / "data"
    wav = tone(data / "a.wav", 3.0)
    (data / "wav.scp").write_text(f"rec {wav}\n")
    (data / "segments").write_text("u1 rec 0.5 1.5\nu2 rec 2.0 -1\n")
    known = audio.sources([str(data)])
    assert known == {"u1": (Place(str(wav)), (0.5, 1.5)), "u2": (Place(str(wav)), (2.0, -1.0))}
    made = audio.clips(["u2", "none", "u1"], known, 1e6)
    assert list(made.uris) == ["u2", "u1"]
    assert len(decoded(made.uris["u2"])[0]) == pytest.approx(16000, abs=200)
    assert "Audio of 2 of 3 utterances" in made.told and "1 are not in --audio, as none" in made.told
    made = audio.clips(["u2", "u1"], known, len(made.uris["u2"]) + 10)
    assert list(made.uris) == ["u2"] and "--audio_mb" in made.told
    (data / "pipe.scp").write_text("u1 sph2pipe -t 0:1 x |\n")
    with pytest.raises(UserError, match=r"pipe.scp: u1 is a command"):
        audio.sources([str(data / "pipe.scp")])


@pytest.mark.parametrize("rate", [8000, 11025, 22050])
def test_a_clip_is_cut_at_its_own_rate(tmp_path, rate):
    """A second of silence, then a louder one each second: the part from 1.5 to 2.5 s has both halves."""
    import soundfile

    samples = np.repeat([0.0, 0.1, 0.4], rate) * np.sin(np.arange(3 * rate) * 0.3)
    soundfile.write(tmp_path / "a.wav", samples, rate)
    for span, wanted in (((1.5, 2.5), (0.1, 0.4)), ((0.5, 1.5), (0.0, 0.1)), ((2.0, -1.0), (0.4, 0.4))):
        found, at = decoded(audio.encode(Place(str(tmp_path / "a.wav")), span))
        assert len(found) / at == pytest.approx(1.0, abs=0.01)
        half = len(found) // 2
        loud = [np.sqrt(2 * np.mean(part[half // 5 : -half // 5] ** 2)) for part in (found[:half], found[half:])]
        assert loud == pytest.approx(wanted, abs=0.03)


def test_clips_fill_the_room_to_the_last_letter(tmp_path):
    known = {name: (Place(str(tone(tmp_path / f"{name}.wav", 0.1 * k))), None) for k, name in enumerate("abc", 1)}
    sizes = {name: len(audio.encode(*known[name])) for name in known}
    for room, kept in (
        (sizes["c"] + sizes["a"], "ca"),
        (sizes["c"] + sizes["a"] - 1, "c"),
        (sum(sizes.values()), "cab"),
        (sum(sizes.values()) - 1, "ca"),
        (0, ""),
    ):
        made = audio.clips(["c", "a", "b"], known, room)
        assert "".join(made.uris) == kept
        assert made.told.startswith(f"Audio of {len(kept)} of 3 utterances (0.0 MB)")
        assert ("--audio_mb" in made.told) == (len(kept) < 3)
    assert sizes["a"] < sizes["b"] < sizes["c"]
    made = audio.clips(["c", "b", "a"], known, sizes["c"] + sizes["b"] - 1)
    assert list(made.uris) == ["c"]  # a would fit, but changed less than b
