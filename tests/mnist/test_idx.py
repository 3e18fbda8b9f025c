"""IDX files by hand, and what is said of bad ones; scikit-learn's digits."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from commands import mnist
from idx import read_idx, read_mnist
from image_set import load, name_of

from kdasr.errors import UserError

MNIST = Path("/work/shared/data/mnist")


def idx(values, shape=None):
    """An IDX file's bytes, by hand."""
    values = np.asarray(values, np.uint8)
    shape = values.shape if shape is None else shape
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values.tobytes()


@pytest.fixture
def four(tmp_path):
    """A directory as MNIST's: three training images of 2 x 3, one test image, two of its files gzipped."""
    pictures = np.arange(18).reshape(3, 2, 3)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pictures)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx([3, 0, 9]))
    (tmp_path / "t10k-images.idx3-ubyte").write_bytes(idx(pictures[:1] + 100))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx([7])))
    return tmp_path


def test_the_four_files_by_hand(four):
    found = read_mnist(four)
    assert found["train_images"].tolist() == np.arange(18).reshape(3, 2, 3).tolist()
    assert found["train_labels"].tolist() == [3, 0, 9]
    assert found["test_images"][0, 1].tolist() == [103, 104, 105] and found["test_labels"].tolist() == [7]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG", "begins with 89 50 4e 47, expected 00 00 08 01"),
        (bytes([0, 0, 0x0D, 1]) + bytes(8), "expected 00 00 08 01"),  # floats
        (idx(np.zeros((2, 2))), "expected 00 00 08 01"),  # images where labels should be
        (b"\0\0\x08\x01\0\0", "ends within its header"),
        (idx([1, 2, 3], (4,)), "holds 3 values, its header says 4"),
        (idx([1, 2, 3], (2,)), "holds 3 values, its header says 2"),
        (gzip.compress(idx([1, 2, 3]), mtime=0)[:-6], "is not whole"),  # processes have to name it alike
        (gzip.compress(idx(range(200)), mtime=0)[:60] + bytes(40), "is not whole"),
    ],
)
def test_bad_files_are_named(tmp_path, data, said):
    (tmp_path / "labels").write_bytes(data)
    with pytest.raises(UserError, match=said) as error:
        read_idx(tmp_path / "labels", 1)
    assert str(tmp_path / "labels") in str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("train-labels-idx1-ubyte", idx([1, 2]), "holds 3 images, .* 2 labels"),
        ("train-labels-idx1-ubyte", idx([1, 2, 10]), "label 3 is 10, expected 0 to 9"),
        ("t10k-images.idx3-ubyte", idx(np.zeros((1, 2, 2))), r"training images are \(2, 3\), test images \(2, 2\)"),
        ("t10k-images.idx3-ubyte", None, "t10k-images-idx3-ubyte: no such file, .gz neither"),
    ],
)
def test_what_does_not_fit_together(four, name, data, said):
    (four / name).unlink() if data is None else (four / name).write_bytes(data)
    with pytest.raises(UserError, match=said):
        read_mnist(four)


def test_the_command_on_mnists_form(four, tmp_path, capsys):
    out = tmp_path / "made/images.npz"
    assert mnist(["data", "--mnist", str(four), "--out", str(out)]) == 0
    assert "MNIST, 3 train, 1 test images of 2 x 3 pixels" in capsys.readouterr().out
    parts = load(out)
    assert name_of(out) == "MNIST"
    assert parts["train"].only([9, 3]).labels.tolist() == [3, 9]
    assert parts["train"].only([9, 3]).images[1].tolist() == [[12, 13, 14], [15, 16, 17]]


def test_the_digits_are_all_there(tmp_path):
    out = tmp_path / "images.npz"
    assert mnist(["data", "--out", str(out)]) == 0
    parts = load(out)
    assert len(parts["train"].labels) == 1347 and len(parts["test"].labels) == 450
    assert parts["train"].images.shape[1:] == (8, 8) and int(parts["train"].images.max()) == 255
    assert set(parts["test"].labels.tolist()) == set(range(10))
    # the first of them is a 0: its second row, by scikit-learn's documentation of the set
    assert parts["train"].labels[0] == 0 and parts["train"].images[0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def test_other_files_are_no_images(tmp_path):
    for data in (b"", b"hello", idx([1])):
        (tmp_path / "images.npz").write_bytes(data)
        with pytest.raises(
            UserError, match=r"is not the file that was written .*; make it again \(local/images_data.py\)"
        ):
            load(tmp_path / "images.npz")
    with pytest.raises(UserError, match=r"no such file; make it first: local/images_data\.py"):
        load(tmp_path / "nothing.npz")


@pytest.mark.data
@pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST in {MNIST}")
def test_mnist_itself():
    found = read_mnist(MNIST)
    assert found["train_images"].shape == (60000, 28, 28) and found["test_images"].shape == (10000, 28, 28)
    assert np.bincount(found["test_labels"])[3] == 1010  # as the paper says
    assert round(found["train_images"].mean() / 255, 4) == 0.1307


def test_test_images_of_another_shape_are_refused(four):
    """Though they have as many pixels."""
    (four / "t10k-images.idx3-ubyte").write_bytes(idx(np.zeros((1, 3, 2))))
    with pytest.raises(UserError, match=r"training images are \(2, 3\), test images \(3, 2\)"):
        read_mnist(four)
