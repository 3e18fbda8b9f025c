"""kdasr.Recognizer: files, samples, times of words, long audio, threads; a bundle and the model it is of."""

import concurrent.futures
import itertools

import numpy as np
import pytest
import soundfile
from bundles import BINS, RATE, WAVEFORM, export, found_by_search, kdasr, speech, write_data, write_model
from search_models import TOKENS

import kdasr as package
from kdasr.data.fbank import fbank
from kdasr.data.spectrogram import num_bins, spectrogram
from kdasr.files import write_json
from kdasr.runtime.recognizer import Recognizer
from kdasr.runtime.times import spans
from kdasr.search.options import SearchOptions

# The letter that this model writes most is the blank between words, so that there are some.
WORDY = [{"g": "<space>", "<space>": "g"}.get(token, token) for token in TOKENS]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("place")
    write_model(root / "m", changes={"token_list": WORDY})
    export(root / "m", root / "b", "--int8")
    soundfile.write(root / "a.wav", speech(2.0), RATE, subtype="PCM_16")
    return root


@pytest.fixture(scope="module")
def recognizer(place):
    return package.Recognizer(place / "b")


def test_a_file_and_its_samples_are_the_same(place, recognizer):
    heard = recognizer.transcribe(place / "a.wav")
    wave = speech(2.0)
    assert heard.text and heard.seconds == 2.0
    assert heard == recognizer.transcribe(str(place / "a.wav"))
    assert heard == recognizer.transcribe(wave, rate=RATE) == recognizer.transcribe(wave / 32768, rate=RATE)
    assert heard == recognizer.transcribe_features(fbank(wave, RATE, BINS), 2.0)


def test_what_the_bundle_says_can_be_changed(place, recognizer):
    assert (recognizer.options.beam, recognizer.options.nbest, recognizer.options.ctc_weight) == (5, 1, 0.3)
    given = {"beam": 3, "nbest": 2, "ctc_weight": 0.1, "penalty": 0.5, "maxlenratio": -4, "minlenratio": -2}
    changed = Recognizer(place / "b", normalize_length=True, **given)
    assert changed.options == SearchOptions(normalize_length=True, **given)
    assert len(changed.transcribe(place / "a.wav").nbest) == 2
    short = Recognizer(place / "b", maxlenratio=-3).transcribe(place / "a.wav")
    assert len(short.text) <= 3 < len(recognizer.transcribe(place / "a.wav").text)


def test_words_have_the_times_of_the_alignment(place, recognizer):
    """By hand: frames of 40 ms, the first of which has its centre at 12.5 ms."""
    heard = recognizer.transcribe(place / "a.wav")
    x = fbank(speech(2.0), RATE, BINS)
    [hyp], logp = recognizer.model.hypotheses(x, recognizer.options)
    times = spans(logp, hyp.tokens, 0)
    tokens = recognizer.model.spelling.tokens
    at = 0
    assert len(heard.words) >= 3 and " ".join(word.word for word in heard.words) == " ".join(heard.text.split())
    for word in heard.words:
        while tokens[hyp.tokens[at]] == "<space>":
            at += 1
        spelt = at
        while spelt < len(hyp.tokens) and tokens[hyp.tokens[spelt]] != "<space>":
            spelt += 1
        first, last = times[at][0], times[spelt - 1][1]
        assert word.start == pytest.approx(max(0.0, 0.0125 + 0.04 * (first - 0.5)), abs=1e-3)
        assert word.end == pytest.approx(min(2.0, 0.0125 + 0.04 * (last + 0.5)), abs=1e-3)
        assert word.confidence == pytest.approx(np.exp(np.mean(hyp.gains[at:spelt])), abs=1e-4)
        at = spelt
    for one, other in itertools.pairwise(heard.words):
        assert 0 <= one.start <= one.end <= other.start + 0.04 and 0 < one.confidence <= 1


def test_long_audio_is_its_pieces(place):
    """Cut in the pauses; each piece as if it were alone, its words' times moved."""
    pause = np.zeros(int(0.5 * RATE), np.int16)
    parts = [speech(1.3, seed=1), pause, speech(1.4, seed=2), pause, speech(0.7, seed=3)]
    wave = np.concatenate(parts)
    recognizer = Recognizer(place / "b", longest=2.0, nbest=2)
    heard = recognizer.transcribe(wave, rate=RATE)
    assert len(heard.pieces) == 3 and heard.seconds == pytest.approx(4.4)
    for piece, (low, high) in zip(heard.pieces, [(1.3, 1.8), (3.2, 3.7), (4.39, 4.41)], strict=True):
        assert low <= piece.end <= high
        alone = recognizer.transcribe(wave[round(piece.start * RATE) : round(piece.end * RATE)], rate=RATE)
        assert alone.text == piece.text and alone.pieces[0].nbest == piece.nbest
        for moved, word in zip(piece.words, alone.words, strict=True):
            assert moved.start == pytest.approx(word.start + piece.start, abs=2e-3)
            assert moved.end == pytest.approx(word.end + piece.start, abs=2e-3)
    assert heard.text == " ".join(piece.text for piece in heard.pieces if piece.text)
    assert heard.words == tuple(word for piece in heard.pieces for word in piece.words)
    whole = Recognizer(place / "b", longest=5.0).transcribe(wave, rate=RATE)
    assert len(whole.pieces) == 1


def test_threads_may_share_a_recognizer(recognizer):
    waves = [speech(0.5 + 0.1 * n, seed=n) for n in range(8)]
    alone = [recognizer.transcribe(wave, rate=RATE) for wave in waves]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda wave: recognizer.transcribe(wave, rate=RATE), waves * 3))
    assert together == alone * 3


def test_a_model_directory_serves_as_well(place, tmp_path):
    """With torch: the same texts, scores, times and confidences as the bundle's; also of CTC alone, and of samples."""
    cases = {
        "kdasr": None,
        "transformer": None,
        "conformer": WAVEFORM,
        "location_gru": {"model_conf": {"ctc_weight": 1.0}},
    }
    for kind, changes in cases.items():
        model = write_model(tmp_path / kind, kind, changes=changes)
        bundle = export(model, tmp_path / f"{kind}.zip")
        one, two = (Recognizer(path, nbest=3).transcribe(place / "a.wav") for path in (model, bundle))
        assert one.text == two.text and [x.text for x in one.nbest] == [x.text for x in two.nbest]
        assert [x.score for x in one.nbest] == pytest.approx([x.score for x in two.nbest], abs=2e-3)
        assert [(x.word, x.start, x.end) for x in one.words] == [(x.word, x.start, x.end) for x in two.words]
        assert [x.confidence for x in one.words] == pytest.approx([x.confidence for x in two.words], abs=2e-3)


def test_spectrograms(tmp_path):
    """A model of power spectra: the runtime makes them as kdasr feats does."""
    bins = num_bins(RATE)
    made = {"features": f"log power spectrogram, {bins} bins", "rate": RATE, "normalised": "no"}
    changes = {"input_size": bins}
    model = write_model(tmp_path / "m", changes=changes)
    write_json(model / "features.json", made)
    recognizer = Recognizer(export(model, tmp_path / "b"))
    wave = speech(1.0)
    assert recognizer.bins == bins
    assert recognizer.transcribe(wave, rate=RATE) == recognizer.transcribe_features(spectrogram(wave, RATE), 1.0)


def test_int8_is_near(place, tmp_path):
    """The int8 network's log probabilities are those of weights rounded to 127 steps a channel."""
    x = fbank(speech(2.0), RATE, BINS)
    one, two = (Recognizer(place / "b", precision=one).model.networks.encode(x) for one in ("fp32", "int8"))
    difference = np.abs(one.logp - two.logp)
    assert 1e-6 < difference.mean() < 0.3 and one.frames == two.frames


def test_sets(place, recognizer, tmp_path, capsys):
    """By features where there are some, else by audio; segments and channels as kdasr decode reads them."""
    data = write_data(tmp_path / "d", {"u1": speech(0.8, seed=1), "u2": speech(1.1, seed=2)})
    hyps = found_by_search(place / "m", data, SearchOptions(beam=5, nbest=1, ctc_weight=0.3))
    right = [f"{name}\t{one[0]['text']}" for name, one in sorted(hyps.items())]
    assert kdasr("transcribe", "--model", place / "b", "--data", data) == 0
    assert capsys.readouterr().out.splitlines() == right
    (data / "feats.scp").unlink()
    assert kdasr("transcribe", "--model", place / "b", "--data", data) == 0
    assert capsys.readouterr().out.splitlines() == right
    both = np.stack([np.zeros(16000 * 2, np.int16), np.concatenate([speech(0.8, seed=1), speech(1.2, seed=2)])], 1)
    soundfile.write(data / "r.flac", both, RATE, subtype="PCM_16")
    (data / "wav.scp").write_text(f"r sox {data}/r.flac -t wav - remix 2 |\n")
    (data / "segments").write_text("u1 r 0 0.8\nu2 r 0.8 1.9\n")
    assert kdasr("transcribe", "--model", place / "b", "--data", data) == 0
    assert capsys.readouterr().out.splitlines() == right
    (data / "segments").write_text("u1 r 0 0.8\nu2 r 0.8 99\nu3 r 0 0.5\n")
    assert kdasr("transcribe", "--model", place / "b", "--data", data) == 1
    said = capsys.readouterr()
    assert said.out.count("\n") == 1 and said.err.count("\n") == 1 and "u2" in said.err
    (data / "wav.scp").unlink()
    assert kdasr("transcribe", "--model", place / "b", "--data", data) == 1
    assert "has neither feats.scp nor wav.scp" in capsys.readouterr().err
