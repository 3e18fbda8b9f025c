"""numpy's files: what was written, or a sentence; nothing in them is unpickled."""

import zipfile

import numpy as np
import pytest
from strangers import Touch

from kdasr.arrays import read_npy, read_npz
from kdasr.errors import UserError

SAID = "is not the file that was written"


def test_what_was_written_is_read(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.arange(3), two=np.eye(2), three=np.zeros(0))
    found = read_npz(tmp_path / "a.npz", ("two", "one"), "make it again")
    assert (
        list(found) == ["two", "one"] and found["one"].tolist() == [0, 1, 2] and np.array_equal(found["two"], np.eye(2))
    )
    np.save(tmp_path / "b.npy", np.eye(3))
    for mapped in (False, True):
        array = read_npy(tmp_path / "b.npy", "make it again", mapped)
        assert np.array_equal(array, np.eye(3)) and isinstance(array, np.memmap) == mapped
        assert array.flags.writeable != mapped
    assert not isinstance(read_npy(tmp_path / "b.npy", "make it again"), np.memmap)


@pytest.mark.parametrize(
    "read", [lambda path: read_npz(path, ("a",), "make it again"), lambda path: read_npy(path, "make it again")]
)
def test_what_is_not_there_or_damaged_is_said(tmp_path, read):
    for path, said in ((tmp_path / "none", "no such file"), (tmp_path, "is no file")):
        with pytest.raises(UserError) as error:
            read(path)
        assert str(error.value) == f"{path}: {said}; make it again"
    np.save(tmp_path / "objects.npy", np.array([Touch(tmp_path / "run")]))
    np.savez(tmp_path / "objects.npz", a=np.array([Touch(tmp_path / "run")]))
    np.savez(tmp_path / "other.npz", b=np.eye(2), c=np.eye(2))
    np.savez(tmp_path / "cut.npz", a=np.eye(20))
    np.save(tmp_path / "cut.npy", np.eye(20))
    for name in ("cut.npz", "cut.npy"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    (tmp_path / "empty.npz").touch()
    for name in ("objects.npy", "objects.npz", "other.npz", "cut.npz", "cut.npy", "empty.npz"):
        with pytest.raises(UserError) as error:
            read(tmp_path / name)
        assert (
            SAID in str(error.value) and str(error.value).endswith("; make it again") and "\n" not in str(error.value)
        )
    assert not (tmp_path / "run").exists()


def test_a_member_that_is_no_array(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.eye(2))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as stored:
        stored.writestr("two", b"bytes")
    assert np.array_equal(read_npz(tmp_path / "a.npz", ("one",), "make it again")["one"], np.eye(2))
    with pytest.raises(UserError, match="no array"):
        read_npz(tmp_path / "a.npz", ("one", "two"), "make it again")


def test_of_a_long_reason_a_line_is_said(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + b"{" * 117 + b"\n")
    with pytest.raises(UserError) as error:
        read_npy(tmp_path / "a.npy", "make it again")
    reason = str(error.value).partition("(")[2].rpartition(")")[0]
    assert 0 < len(reason) <= 120 and "\n" not in reason
