"""Features of an utterance by its entry in feats.scp: what is there, and what is refused by the utterance's name."""

import kaldiio
import numpy as np
import pytest
import soundfile

from kdasr.data.matrices import read_matrix
from kdasr.errors import UserError


def test_what_was_saved_is_read(tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    kaldiio.save_ark(str(tmp_path / "feats.ark"), {"a": x, "b": x[:0]}, scp=str(tmp_path / "feats.scp"))
    places = dict(line.split() for line in (tmp_path / "feats.scp").read_text().splitlines())
    np.testing.assert_array_equal(read_matrix("a", places["a"]), x)
    assert len(read_matrix("b", places["b"])) == 0


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros(8, np.float32), r"^u: .*\.ark:2 has the shape \(8,\)"),
        (np.array([[1.0, np.nan]], np.float32), r"^u: .* holds values that are not numbers"),
        (np.array([[1.0, -np.inf]], np.float32), r"^u: .* holds values that are not numbers"),
    ],
)
def test_other_shapes_and_values_are_refused(tmp_path, x, said):
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"u": x})
    with pytest.raises(UserError, match=said):
        read_matrix("u", f"{tmp_path / 'x.ark'}:2")


def test_what_is_no_archive_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^u: .*none\.ark: no such file"):
        read_matrix("u", f"{tmp_path / 'none.ark'}:2")
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"u": np.zeros((9, 4), np.float32)})
    (tmp_path / "cut.ark").write_bytes((tmp_path / "x.ark").read_bytes()[:40])
    with pytest.raises(UserError, match=r"^u: .* cannot be read .*make the features again"):
        read_matrix("u", f"{tmp_path / 'cut.ark'}:2")
    soundfile.write(tmp_path / "one.wav", np.zeros(800, dtype=np.int16), 8000, subtype="PCM_16")
    with pytest.raises(UserError, match=r"^u: .*one\.wav is audio where features are taken"):
        read_matrix("u", str(tmp_path / "one.wav"))
