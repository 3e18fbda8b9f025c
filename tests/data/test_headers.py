"""Headers of audio say what libsndfile and the disc's own header say; files of samples alone have none."""

import numpy as np
import pytest
import soundfile

from kdasr.data.headers import HeaderCheck, read_header
from kdasr.data.places import RUN_COMMANDS
from kdasr.data.sphere import write_sphere
from kdasr.data.utterances import Reading
from kdasr.errors import UserError

SILENCE = np.zeros(12000, dtype=np.int16)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.sph", "shortened.wv1", "sphere.wav"])
def test_what_a_header_says(tmp_path, name):
    path = str(tmp_path / name)
    if name in ("a.wav", "a.flac", "a.ogg"):
        soundfile.write(path, SILENCE, 8000)
    else:  # also where its name is that of another format
        write_sphere(path, SILENCE, 8000, "shorten" if name.endswith("wv1") else "pcm")
    assert read_header(path, "w") == (8000, 1, 1.5)


def test_samples_alone_have_none_and_other_files_are_no_audio(tmp_path):
    (tmp_path / "a.raw").write_bytes(SILENCE.tobytes())
    assert read_header(str(tmp_path / "a.raw"), "w") is None
    for content in (b"", b"<html>"):
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(UserError, match=r"^wav\.scp: a: .*a\.wav: is not audio that can be read"):
            read_header(str(tmp_path / "a.wav"), "wav.scp: a")


def test_rates_are_compared_over_sets_and_entries_that_are_no_files_are_left(tmp_path, monkeypatch):
    monkeypatch.setenv(RUN_COMMANDS, "1")
    for name, rate in (("a", 8000), ("b", 16000)):
        soundfile.write(tmp_path / f"{name}.wav", SILENCE, rate)
    sets = [{"wav.scp": {one: str(tmp_path / f"{one}.wav"), "c": "speak c |", "d": "audio.ark:5"}} for one in "ab"]
    for reading, refused in ((Reading(), True), (Reading(resample=True), False)):
        audio = HeaderCheck(reading)
        audio.check(sets[0], "one")
        if not refused:
            audio.check(sets[1], "two")
            continue
        with pytest.raises(UserError, match=r"^two/wav\.scp: b: .*b\.wav has 16000 Hz, .*a\.wav has 8000; convert"):
            audio.check(sets[1], "two")
