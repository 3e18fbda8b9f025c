"""CMVN statistics against numpy on all frames at once, ESPnet's GlobalMVN, and kaldiio."""

import numpy as np
import pytest

from kdasr.data import cmvn
from kdasr.errors import UserError


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    return [rng.normal(12, [0.5, 1, 30, 4], (frames, 4)).astype(np.float32) for frames in (1, 50, 333, 7)]


def test_merged_parts_equal_all_frames(parts):
    stats = cmvn.merge(map(cmvn.accumulate, parts))
    everything = np.concatenate(parts).astype(np.float64)
    assert stats.count == 391
    assert stats.sum.dtype == stats.sum_square.dtype == np.float64
    np.testing.assert_allclose(stats.mean, everything.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.std, everything.std(axis=0), rtol=1e-10)


def test_by_hand():
    stats = cmvn.accumulate(np.array([[1, 5], [3, 5]], dtype=np.float32))
    assert (stats.count, *stats.sum, *stats.sum_square) == (2, 4, 10, 10, 50)
    assert stats.mean.tolist() == [2, 5]
    assert stats.std.tolist() == [1, 1]  # a bin that never changes is divided by 1, and so becomes 0
    assert cmvn.apply(np.array([[1, 5], [3, 5]], dtype=np.float32), stats).tolist() == [[-1, 0], [1, 0]]


def test_float64_keeps_what_float32_would_lose():
    # A million frames around 20 with a deviation of 0.01: a float32 sum of squares has nothing left of it.
    frames = np.where(np.arange(1000)[:, None] % 2, 19.99, 20.01).astype(np.float32)
    stats = cmvn.merge([cmvn.accumulate(frames)] * 1000)
    assert abs(stats.std[0] - 0.01) < 1e-6


def test_applied_is_normal(parts):
    stats = cmvn.merge(map(cmvn.accumulate, parts))
    applied = np.concatenate([cmvn.apply(part, stats) for part in parts])
    assert applied.dtype == np.float32
    assert np.abs(applied.mean(axis=0)).max() < 1e-5
    assert np.abs(applied.std(axis=0) - 1).max() < 1e-5


def test_npz_is_what_espnet_normalises_with(parts, tmp_path):
    import torch

    import kdasr.espnet

    kdasr.espnet.prepare()
    from espnet2.layers.global_mvn import GlobalMVN

    stats = cmvn.merge(map(cmvn.accumulate, parts))
    cmvn.write_npz(tmp_path / "cmvn.npz", stats)
    batch = torch.from_numpy(parts[2].copy())[None]  # (1, T, D)
    theirs, _ = GlobalMVN(tmp_path / "cmvn.npz")(batch, torch.tensor([333]))
    np.testing.assert_allclose(cmvn.apply(parts[2], stats), theirs[0].numpy(), atol=1e-5)
    again = cmvn.read_npz(tmp_path / "cmvn.npz")
    assert again.count == stats.count
    assert (again.sum == stats.sum).all() and (again.sum_square == stats.sum_square).all()


def test_kaldi_form(parts, tmp_path):
    import kaldiio

    stats = {name: cmvn.accumulate(part) for name, part in zip(("b", "a", "Z", "é"), parts, strict=True)}
    cmvn.write_kaldi(tmp_path / "cmvn.ark", tmp_path / "cmvn.scp", stats)
    there = dict(kaldiio.load_scp_sequential(str(tmp_path / "cmvn.scp")))
    assert list(there) == ["Z", "a", "b", "é"]
    matrix = there["a"]
    assert matrix.shape == (2, 5) and matrix.dtype == np.float64
    assert matrix[0, -1] == 50 and matrix[1, -1] == 0
    np.testing.assert_array_equal(matrix[0, :-1], parts[1].astype(np.float64).sum(axis=0))
    back = cmvn.from_kaldi(matrix)
    assert back.count == 50 and (back.sum_square == stats["a"].sum_square).all()
    assert dict(kaldiio.load_ark(str(tmp_path / "cmvn.ark"))).keys() == there.keys()


def test_errors(tmp_path):
    with pytest.raises(UserError, match="no frames"):
        cmvn.merge([])
    with pytest.raises(UserError, match="no such file; make the statistics again"):
        cmvn.read_npz(tmp_path / "absent.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(UserError, match=r"\.np[yz]: is not the file that was written"):
        cmvn.read_npz(tmp_path / "bad.npz")
    np.save(tmp_path / "matrix.npy", np.zeros((2, 5)))
    with pytest.raises(UserError, match=r"\.np[yz]: is not the file that was written"):
        cmvn.read_npz(tmp_path / "matrix.npy")
    with pytest.raises(UserError, match=r"shape \(3, 5\)"):
        cmvn.from_kaldi(np.zeros((3, 5)))


@pytest.mark.parametrize(
    "name, value", [("sum", np.nan), ("sum_square", np.nan), ("sum", np.inf), ("sum_square", -np.inf)]
)
def test_sums_that_are_no_numbers_are_refused(tmp_path, name, value):
    arrays = {"count": 3, "sum": np.ones(4), "sum_square": np.full(4, 2.0)}
    np.savez(tmp_path / "cmvn.npz", **arrays)
    assert cmvn.read_npz(tmp_path / "cmvn.npz").count == 3
    np.savez(tmp_path / "cmvn.npz", **{**arrays, "count": 0})
    with pytest.raises(UserError, match="no statistics of features"):
        cmvn.read_npz(tmp_path / "cmvn.npz")
    arrays[name] = np.array([1.0, value, 1.0, 1.0])
    np.savez(tmp_path / "cmvn.npz", **arrays)
    with pytest.raises(UserError, match=r"cmvn\.npz: its count and sums are no statistics of features"):
        cmvn.read_npz(tmp_path / "cmvn.npz")
