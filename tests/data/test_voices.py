import sys

import numpy as np
import pytest
from needs import need

from kdasr.data.recording import render
from kdasr.data.voices import VOICES, Espeak, Settings, make_speakers
from kdasr.errors import UserError

TEXT = "the board met in boston on friday"


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    need("espeak")
    return Espeak()


def test_what_was_said_before_changes_nothing(espeak):
    cases = [(TEXT, "en-us+f2", 150, 50), ("oil fell", "gmw/en+m3", 130, 40), (TEXT, "en-us+m1", 160, 55)]
    forward = [espeak.say(*case) for case in cases]
    backward = [Espeak().say(*case) for case in reversed(cases)]
    for one, other in zip(forward, reversed(backward), strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_voice_speaks_and_no_two_alike(espeak):
    assert len(VOICES) == len(set(VOICES))
    said = {}
    for accent, variant, sex in VOICES:
        samples = espeak.say("oil fell", f"{accent}+{variant}", 150, 50)
        assert sex in ("M", "F") and samples.dtype == np.int16
        assert 0.4 < len(samples) / espeak.rate < 2.5
        said[samples.tobytes()] = variant
    assert len(said) == len(VOICES)


def test_a_faster_rate_is_shorter(espeak):
    slow, fast = (len(espeak.say(TEXT, "en-us+m1", rate, 50)) for rate in (120, 180))
    assert slow / fast == pytest.approx(1.5, rel=0.15)


def test_an_unknown_variant_or_accent_is_refused(espeak):
    with pytest.raises(UserError, match="nobody"):
        espeak.say(TEXT, "en-us+nobody", 150, 50)
    with pytest.raises(UserError, match="xx-nowhere"):
        espeak.say(TEXT, "xx-nowhere+m1", 150, 50)


def test_without_espeakng_loader_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match="pip install espeakng-loader"):
        Espeak()


def test_speakers_stay_in_the_settings_range_and_depend_on_the_seed():
    settings = Settings()
    speakers = make_speakers([f"{i:03d}" for i in range(10)], 5, settings, 1)
    assert speakers == make_speakers([f"{i:03d}" for i in range(10)], 5, settings, 1)
    assert speakers != make_speakers([f"{i:03d}" for i in range(10)], 5, settings, 2)
    assert [s.voice for s in speakers] == [f"{accent}+{variant}" for accent, variant, _ in VOICES[5:15]]
    for speaker in speakers:
        assert settings.rate_low <= speaker.rate <= settings.rate_high
        assert settings.tract_low <= speaker.tract <= settings.tract_high


def test_an_utterance_is_its_key(espeak):
    (speaker,) = make_speakers(["011"], 0, Settings(), 0)
    one, same, other = (render(espeak, TEXT, "", speaker, Settings(), key) for key in ([0, 1], [0, 1], [0, 2]))
    np.testing.assert_array_equal(one, same)
    assert len(one) != len(other) or not np.array_equal(one, other)
