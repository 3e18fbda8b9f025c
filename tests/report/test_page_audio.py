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
