"""`kdasr frames data` and `load`: against plain loops over the features."""

import dataclasses

import commands
import kaldiio
import numpy as np
import pytest
import torch
from nbest_models import write_data

from kdasr.errors import UserError
from kdasr.files import read_json, write_json, write_table
from kdasr.frames import data, prepare
from kdasr.frames.alignment import written
from kdasr.frames.states import label

ALIGNED = {
    "utt0": [(3, "A"), (9, "B"), (15, "A")],
    "utt10": [],
    "utt2": [(1, "B"), (11, "A"), (13, "B")],
    "utt3": [(2, "A")],
}
LENGTHS = {"utt0": 20, "utt1": 7, "utt2": 14, "utt3": 9, "utt10": 6}  # utt1 is not aligned
ORDER = ["utt0", "utt10", "utt2", "utt3"]
NUMBERS = ["--left", 4, "--right", 2, "--min_count", 2, "--reach", 3]


def features(directory, lengths=LENGTHS, bins=3, seed=0):
    """A feature directory; its matrices."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.tensor([1.0, 5.0, 0.2])[:bins]
    rows = {name: torch.randn(n, bins, generator=generator) * scales + 7 for name, n in lengths.items()}
    directory.mkdir(exist_ok=True)
    matrices = {name: x.numpy() for name, x in rows.items()}
    kaldiio.save_ark(str(directory / "feats.ark"), matrices, scp=str(directory / "feats.scp"))
    return matrices


def alignment(directory, rows):
    """What `kdasr frames align` leaves, for which utt1 was too short."""
    write_table(directory / "alignment", {name: written(spikes) for name, spikes in rows.items()})
    write_json(directory / "align.json", {"skipped": ["utt1"]})


def run(root, *more, out="out", feats="feats", ali="ali"):
    words = ["--feats", root / feats, "--alignment", root / ali, "--out", root / out, *more]
    commands.run("frames data", *words)


@pytest.fixture
def place(tmp_path):
    """feats and ali, and out made of them; the root and the matrices."""
    matrices = features(tmp_path / "feats")
    alignment(tmp_path / "ali", ALIGNED)
    run(tmp_path, *NUMBERS)
    return tmp_path, matrices


def normal(matrices, names):
    """The features of some utterances with mean 0 and variance 1 over all their frames."""
    joined = np.concatenate([matrices[name] for name in names]).astype(np.float64)
    return {name: (matrices[name] - joined.mean(0)) / joined.std(0) for name in names}


def windows(matrices, names, left, right):
    """Each frame's window by a plain loop: beyond the borders the first and last frame."""
    rows = []
    for name in names:
        x = matrices[name]
        for t in range(len(x)):
            rows.append(np.concatenate([x[min(max(s, 0), len(x) - 1)] for s in range(t - left, t + right + 1)]))
    return torch.tensor(np.array(rows), dtype=torch.float32)


def test_windows_labels_and_tables_are_those_of_a_plain_loop(place):
    root, matrices = place
    frames = data.load(root / "out")
    assert (frames.names, frames.sizes) == (ORDER, [LENGTHS[name] for name in ORDER])
    expected = windows(normal(matrices, ORDER), ORDER, 4, 2)
    got = frames.inputs(torch.arange(49))
    assert got.dtype == torch.float32 and got.shape == (49, 7 * 3)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)  # float16
    chosen = torch.tensor([48, 0, 20, 20])
    assert torch.equal(frames.inputs(chosen), got[chosen])
    labels = np.concatenate([label(ALIGNED[name], LENGTHS[name], frames.states, 3) for name in ORDER])
    assert frames.labels.dtype == torch.int64 and frames.labels.tolist() == labels.tolist()
    assert frames.counts == np.bincount(labels, minlength=len(frames.states)).tolist()
    assert frames.tokens == {name: [token for _, token in ALIGNED[name]] for name in ORDER}
    # pairs: <s>-A twice, A-B twice; B-A twice, though over two utterances; <s>-B once
    assert frames.states.units == ((None, "A"), (None, "B"), ("<s>", "A"), ("A", "B"), ("B", "A"))


def test_files_have_the_types_that_are_promised(place):
    root, _ = place
    types = {name: np.load(root / f"out/{name}.npy").dtype for name in ("features", "starts", "labels")}
    assert types == {"features": np.float16, "starts": np.int64, "labels": np.int16}
    assert np.load(root / "out/features.npy").shape == (49 + 4 * 6, 3)
    about = read_json(root / "out/frames.json")
    assert (about["left"], about["right"], about["reach"], about["bins"], about["frames"]) == (4, 2, 3, 3, 49)
    assert about["silence"] == pytest.approx(about["counts"][0] / 49)


def test_a_frame_alone_is_its_own_window(place):
    root, matrices = place
    run(root, "--left", 0, "--right", 0, out="narrow")
    frames = data.load(root / "narrow")
    torch.testing.assert_close(
        frames.inputs(torch.arange(49)), windows(normal(matrices, ORDER), ORDER, 0, 0), rtol=1e-3, atol=1e-3
    )
    assert torch.equal(data.load(root / "out").inputs(torch.arange(49))[:, 12:15], frames.inputs(torch.arange(49)))


def test_frames_are_known_by_all_they_were_made_from(place):
    """Each number, and each directory, is changed, one at a time."""
    root, _ = place
    numbers = dict(zip(NUMBERS[::2], NUMBERS[1::2], strict=True)) | {"--positions": 3}
    assert {name[2:] for name in numbers} == set(prepare.DEFAULTS)
    for name, value in numbers.items():
        changed = numbers | {name: value + 1}
        with pytest.raises(UserError, match=f"out: was made with another {name[2:]}; remove"):
            run(root, *(word for pair in changed.items() for word in pair))
    features(root / "feats_other", seed=3)
    (root / "feats_other/feats.scp").write_text((root / "feats_other/feats.scp").read_text() + "\n")
    for name, options in (("feats", {"feats": "feats_other"}), ("alignment", {"ali": "ali_other"})):
        alignment(root / "ali_other", {**ALIGNED, "utt3": [(3, "A")]})
        with pytest.raises(UserError, match=f"out: was made with another {name}; remove"):
            run(root, *NUMBERS, **options)
    run(root, "--like", root / "out", out="test")
    with pytest.raises(UserError, match="test: was made with another like; remove"):
        run(root, *NUMBERS, out="test")
    about = read_json(root / "out/frames.json")
    write_json(root / "out/frames.json", {**about, "silence": 0.0})
    with pytest.raises(UserError, match="test: was made with another like; remove"):
        run(root, "--like", root / "out", out="test")


def test_every_number_may_be_its_least(place):
    root, matrices = place
    least = {"--left": 0, "--right": 0, "--positions": 1, "--min_count": 1, "--reach": 0}
    run(root, *(word for pair in least.items() for word in pair), out="least")
    frames = data.load(root / "least")
    assert (frames.left, frames.right, frames.states.positions) == (0, 0, 1) and frames.skipped == ["utt1"]
    spikes = [(name, frame) for name in ORDER for frame, _ in ALIGNED[name]]
    assert int((frames.labels > 0).sum()) == len(spikes)  # a frame of each token
    about = read_json(root / "least/frames.json")
    joined = np.concatenate([matrices[name] for name in ORDER]).astype(np.float64)
    assert about["mean"] == pytest.approx(joined.mean(0)) and about["std"] == pytest.approx(joined.std(0))


def test_a_share_that_an_utterance_just_is_takes_no_other(place):
    frames = data.load(place[0] / "out")
    even = dataclasses.replace(
        frames, names=["a", "b", "c", "d"], sizes=[8] * 4, starts=frames.starts[:32], labels=frames.labels[:32],
        tokens={name: [] for name in "abcd"},
    )  # fmt: skip
    for share, utterances in ((0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 4), (1.0, 4)):
        assert {len(even.only(share, seed).names) for seed in range(5)} == {utterances}


def test_like_takes_states_normalisation_and_numbers(place):
    root, matrices = place
    other = features(root / "feats_test", {"x": 8, "y": 5}, seed=1)
    alignment(root / "ali_test", {"x": [(4, "B")], "y": [(0, "B"), (3, "B")]})
    run(root, "--like", root / "out", out="test", feats="feats_test", ali="ali_test")
    train, test = data.load(root / "out"), data.load(root / "test")
    assert (test.states, test.counts, test.left, test.right) == (train.states, train.counts, 4, 2)
    joined = np.concatenate([matrices[name] for name in ORDER]).astype(np.float64)
    mapped = {name: (x - joined.mean(0)) / joined.std(0) for name, x in other.items()}
    torch.testing.assert_close(test.inputs(torch.arange(13)), windows(mapped, ["x", "y"], 4, 2), rtol=2e-3, atol=2e-3)
    assert test.labels.tolist() == [
        state for name, n in (("x", 8), ("y", 5)) for state in label(_spikes(name), n, train.states, 3)
    ]


def _spikes(name):
    return {"x": [(4, "B")], "y": [(0, "B"), (3, "B")]}[name]


def test_what_does_not_go_with_like_is_refused(place):
    root, _ = place
    like = ["--like", root / "out"]
    with pytest.raises(UserError, match=r"--reach 3: comes from --like"):
        run(root, *like, "--reach", 3, out="test")
    alignment(root / "ali_test", {"utt1": [(3, "A")], "utt2": [(3, "Q")]})
    with pytest.raises(UserError, match=r"utt2 has 'Q', a token that .*/out lacks"):
        run(root, *like, out="test", ali="ali_test")
    features(root / "feats_2", bins=2)
    with pytest.raises(UserError, match=r"feats_2: has 2 bins, .*/out 3"):
        run(root, *like, out="test", feats="feats_2")
    with pytest.raises(UserError, match="no such file; make it first: kdasr frames data"):
        run(root, "--like", root / "none", out="test")


def test_a_share_is_of_whole_utterances(place):
    root, _ = place
    frames = data.load(root / "out")
    everything = frames.inputs(torch.arange(49))
    begins = dict(zip(ORDER, np.cumsum([0, *frames.sizes]).tolist(), strict=False))
    drawn = set()
    for seed in range(12):
        part = frames.only(0.3, seed)
        drawn.add(tuple(part.names))
        assert part.names == [name for name in ORDER if name in part.names] == list(part.tokens)
        assert part.sizes == [LENGTHS[name] for name in part.names]
        kept = [n for name in part.names for n in range(begins[name], begins[name] + LENGTHS[name])]
        assert part.labels.tolist() == frames.labels[kept].tolist()
        assert torch.equal(part.inputs(torch.arange(len(kept))), everything[kept])
        assert sum(part.sizes) >= 0.3 * 49 and (part.states, part.counts) == (frames.states, frames.counts)
        # without the utterance that was drawn last it would have been too little
        assert sum(part.sizes) - max(part.sizes) < 0.3 * 49
        assert frames.only(0.3, seed).names == part.names
    assert len(drawn) > 1
    assert len(frames.only(0.0, 1).names) == 1 and frames.only(1.0, 1).names == ORDER


def test_a_second_run_does_nothing_and_other_settings_are_refused(place, capsys):
    root, _ = place
    before = (root / "out/features.npy").stat().st_mtime_ns
    run(root, *NUMBERS)
    assert "made already, 49 frames" in capsys.readouterr().out
    assert (root / "out/features.npy").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="out: was made with another left; remove the directory"):
        run(root)
    alignment(root / "ali", {**ALIGNED, "utt3": []})
    with pytest.raises(UserError, match="made with another alignment"):
        run(root, *NUMBERS)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--left", -1], "--left -1: expected 0 or more"),
        (["--positions", 0], "--positions 0: expected 1 or more"),
        (["--min_count", 0], "--min_count 0: expected 1 or more"),
        (["--positions", 20000], "too many; give a higher one"),
    ],
)
def test_numbers_out_of_range_are_told(place, options, message):
    with pytest.raises(UserError, match=message):
        run(place[0], *options, out="other")
    assert not (place[0] / "other/frames.json").exists()


def test_features_that_do_not_fit_are_told(tmp_path):
    alignment(tmp_path / "ali", ALIGNED)
    with pytest.raises(UserError, match=r"feats.scp: no such file; make it first: kdasr feats"):
        run(tmp_path)
    features(tmp_path / "feats", {"utt0": 20, "utt2": 14, "utt3": 9})
    with pytest.raises(UserError, match=r"utt10 of .*/ali is missing"):
        run(tmp_path)
    features(tmp_path / "feats", {**LENGTHS, "utt2": 13})
    with pytest.raises(UserError, match=r"utt2: a token of .*/ali is at frame 13, its features in .* end at 12"):
        run(tmp_path)
    odd = torch.full((9, 3), float("nan"))
    write_data(tmp_path / "feats", [torch.randn(20, 3), torch.randn(7, 3), torch.randn(14, 3), odd])
    alignment(tmp_path / "ali", {"utt0": [], "utt3": []})
    with pytest.raises(UserError, match=r"utt3: .* holds values that are not numbers"):
        run(tmp_path)
    write_data(tmp_path / "feats", [torch.randn(20, 3), torch.randn(7, 3), torch.randn(14, 3), torch.randn(9, 4)])
    with pytest.raises(UserError, match=r"utt3: 4 bins, others have 3"):
        run(tmp_path)
    assert not (tmp_path / "out/frames.json").exists()


def test_a_directory_that_is_something_else_is_refused(place):
    root, _ = place
    with pytest.raises(UserError, match=r"none/frames.json: no such file; make it first: kdasr frames data"):
        data.load(root / "none")
    np.save(root / "out/starts.npy", np.arange(3))
    with pytest.raises(UserError, match=r"starts\.npy: was changed after it was written"):
        data.load(root / "out")
    record = read_json(root / "out/frames.json")
    write_json(root / "out/frames.json", {key: value for key, value in record.items() if key != "sha256"})
    with pytest.raises(UserError, match="do not belong together"):  # an older directory, of which no checksum is known
        data.load(root / "out")
    (root / "out/starts.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"starts\.npy: is not the file that was written"):
        data.load(root / "out")
    write_json(root / "out/frames.json", {})
    with pytest.raises(UserError, match="not what kdasr frames data writes"):
        data.load(root / "out")
