"""Language models on a pretended GPU (tests/pretend_gpu.py): the CPU's weights, perplexities and scores."""

import numpy as np
import pytest
import torch
from lm_world import SET
from pretend_gpu import pretend_gpu

from kdasr import torch_files
from kdasr.cli import main
from kdasr.files import read_json
from kdasr.lm import trainer
from kdasr.lm.trie import AwdNetwork, score_lists
from kdasr.losses import OBJECTIVES
from kdasr.networks.awd import AwdLstm

LISTS = [[[3, 1, 4], [3, 1, 5], [3, 1], []], [[3]], [[7, 2, 7, 2, 1], [7, 2, 2]]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Texts, a vocabulary, a teacher."""
    root = tmp_path_factory.mktemp("lm")
    generator = np.random.default_rng(0)
    for name, lines in (("train", 25), ("valid", 6)):
        drawn = [(generator.choice(["cat", "dog", "cow"]), generator.choice(["here", "there"])) for _ in range(lines)]
        (root / f"{name}.txt").write_text("".join(f"the {animal} sat {place}\n" for animal, place in drawn))
    assert main(["lm", "words", "--text", str(root / "train.txt"), "--out", str(root / "words")]) == 0
    assert train(root, "teacher") == 0
    return root


def train(root, out, *words, settings=()):
    texts = ["--train", root / "train.txt", "--valid", root / "valid.txt", "--words", root / "words"]
    return main(
        ["lm", "train", *map(str, texts), "--out", str(root / out), "--set", *SET, "epochs=2", *settings, *words]
    )


def on_gpu(words):
    """A command on the pretended GPU, and what it waited for."""
    with pretend_gpu() as gpu, gpu.seen() as seen:
        assert main([*words, "--ngpu", "1"]) == 0
    return seen


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_training_with_every_objective_is_the_cpus(root, objective):
    """Averaging begins in the second epoch; a piece is waited for once."""
    teachers = [] if objective == "ce" else ["--teachers", str(root / "teacher")]
    settings = (f"objective={objective}", "average_after=1")
    assert train(root, f"{objective}_here", *teachers, settings=settings) == 0
    with pretend_gpu() as gpu, gpu.seen() as seen:
        assert train(root, f"{objective}_there", *teachers, "--ngpu", "1", settings=settings) == 0
    here, there = (torch_files.load(root / f"{objective}_{side}" / "valid.loss.best.pth") for side in ("here", "there"))
    for name, weight in here.items():
        torch.testing.assert_close(there[name], weight, rtol=1e-3, atol=1e-4)
    pieces = sum("kdasr/lm/piece.py" in line for line in seen.reads)
    words = sum("kdasr/lm/trainer.py" in line for line in seen.uploads)  # and targets, and at times of the mean model
    assert 10 < pieces <= words / 2 <= 1.5 * pieces and len(seen.reads) <= pieces + 10, seen.table()


def test_a_killed_training_goes_on_where_it_was(root, monkeypatch):
    """A checkpoint holds what is on the GPU, its random numbers among it, and puts it there again."""
    settings, plain = ("drop_hidden=0.3",), trainer.Loop.end_epoch
    monkeypatch.setattr(trainer.Loop, "end_epoch", lambda loop, valid: [plain(loop, valid), stop()][0])

    def stop():
        raise KeyboardInterrupt

    with pretend_gpu():
        assert train(root, "killed", "--ngpu", "1", settings=settings) == 130
        monkeypatch.undo()
        for out in ("killed", "whole"):
            torch.manual_seed(0)
            assert train(root, out, "--ngpu", "1", settings=settings) == 0
    one, other = (torch_files.load(root / out / "valid.loss.best.pth") for out in ("killed", "whole"))
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight)


def test_perplexities_and_stored_targets_are_the_cpus(root):
    text = ["--text", str(root / "valid.txt")]
    for out, more in (("plain", []), ("dynamic", ["--dynamic", str(root / "train.txt")])):
        words = ["lm", "ppl", "--model", str(root / "teacher"), *text, *more]
        assert main([*words, "--out", str(root / f"{out}_here")]) == 0
        on_gpu([*words, "--out", str(root / f"{out}_there")])
        [path] = (root / f"{out}_here").glob("*.json")
        here, there = (read_json(root / f"{out}_{side}" / path.name)["ppl"] for side in ("here", "there"))
        assert there == pytest.approx(here, rel=1e-5)
    words = ["lm", "soft", "--teachers", str(root / "teacher"), *text, "--kept", "3"]
    assert main([*words, "--out", str(root / "soft_here")]) == 0
    on_gpu([*words, "--out", str(root / "soft_there")])
    on_gpu([*words, "--draws", "--out", str(root / "drawn")])
    for name in ("ids", "logq", "gold", "best"):
        here, there = (np.load(root / f"soft_{side}" / f"{name}.npy") for side in ("here", "there"))
        np.testing.assert_allclose(there.astype(float), here.astype(float), atol=2e-3)
    assert np.load(root / "drawn" / "ids.npy").shape == np.load(root / "soft_here" / "ids.npy").shape


def test_lists_are_rescored_with_a_bounded_number_of_waits_a_level():
    torch.manual_seed(0)
    models = [AwdLstm(11, embed=6, hidden=8, last=5, layers=2, experts=3).eval() for _ in range(2)]
    here, _ = score_lists([AwdNetwork(model) for model in models], LISTS)
    with pretend_gpu() as gpu:
        networks = [AwdNetwork(model.to("cuda:0")) for model in models]
        with gpu.seen() as seen:
            there, _ = score_lists(networks, LISTS)
    for one, other in zip(there, here, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    levels = 1 + max(len(hyp) for hyps in LISTS for hyp in hyps)
    assert len(seen.reads) == 2 * levels and len(seen.uploads) == 2 * 4 * levels, seen.table()  # of each model
