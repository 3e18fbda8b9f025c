"""`local/images_data.py`: what stands in the file; images held out."""

import numpy as np
import torch
from commands import mnist
from hypothesis import given
from hypothesis import strategies as st
from image_set import Images, load, name_of, shifts
from properties import examples


def test_the_last_images_held_out(tmp_path, capsys):
    """They are the test images, and the training set lacks them; the file's own test images are not in it."""
    whole, held = tmp_path / "whole.npz", tmp_path / "held.npz"
    assert mnist(["data", "--out", str(whole)]) == 0
    assert mnist(["data", "--out", str(held), "--held_out", "300"]) == 0
    assert "digits, held out, 1047 train, 300 test images of 8 x 8 pixels" in capsys.readouterr().out
    one, other = load(whole), load(held)
    assert torch.equal(torch.cat([other["train"].images, other["test"].images]), one["train"].images)
    assert torch.equal(torch.cat([other["train"].labels, other["test"].labels]), one["train"].labels)
    assert (name_of(whole), name_of(held)) == ("digits", "digits, held out")
    for wrong in ("1347", "-1"):
        assert mnist(["data", "--out", str(tmp_path / "x.npz"), "--held_out", wrong]) == 1
        assert f"--held_out {wrong}: expected 1 to 1346" in capsys.readouterr().err


def test_images_that_move_are_drawn_anew(tmp_path):
    mnist(["data", "--out", str(tmp_path / "digits.npz")])
    images = load(tmp_path / "digits.npz")["train"]
    chosen = torch.zeros(500, dtype=torch.long)
    torch.manual_seed(1)
    found = images.moving(1)(chosen)
    assert found.shape == (500, 64) and found.dtype == torch.uint8
    padded = np.pad(images.images[0].numpy(), 1)
    expected = {padded[down : down + 8, right : right + 8].tobytes() for down in range(3) for right in range(3)}
    assert {one.numpy().tobytes() for one in found} == expected  # every move occurs, and no other
    assert torch.equal(images.moving(0)(chosen), images.inputs(chosen))


def test_parts_of_some_classes_alone():
    labels = torch.tensor([3, 7, 3, 1, 0])
    images = torch.arange(5 * 4, dtype=torch.uint8).view(5, 2, 2)
    found = Images(images, labels).only([3, 0])
    assert found.labels.tolist() == [3, 3, 0] and torch.equal(found.images, images[[0, 2, 4]])


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 3))
@examples(100)
def test_shifts_are_windows_of_a_padded_image(count, height, width, reach):
    images = torch.randint(1, 256, (count, height, width), dtype=torch.uint8)
    found = shifts(images, reach)
    padded = np.pad(images.numpy(), ((0, 0), (reach, reach), (reach, reach)))
    assert found.shape == (count, 2 * reach + 1, 2 * reach + 1, height, width)
    for down, right in np.ndindex(2 * reach + 1, 2 * reach + 1):
        expected = padded[:, down : down + height, right : right + width]
        assert (found[:, down, right].numpy() == expected).all()
    assert torch.equal(found[:, reach, reach], images)


def test_images_that_move_do_so_each_by_itself():
    images = Images(torch.arange(1, 10, dtype=torch.uint8).view(1, 3, 3).repeat(6, 1, 1), torch.zeros(6))
    torch.manual_seed(0)
    moved = images.moving(2)(torch.arange(6))
    assert len({one.numpy().tobytes() for one in moved}) > 3


def test_shifts_by_hand():
    image = torch.tensor([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], dtype=torch.uint8)
    moved = shifts(image, 1)
    assert moved.shape == (2, 3, 3, 2, 2)
    assert torch.equal(moved[:, 1, 1], image)
    assert moved[0, 0, 1].tolist() == [[0, 0], [1, 2]]  # what was above comes in: the image goes down
    assert moved[0, 1, 2].tolist() == [[2, 0], [4, 0]]
    assert moved[1, 2, 0].tolist() == [[0, 7], [0, 0]]
    assert torch.equal(shifts(image, 0)[:, 0, 0], image)
