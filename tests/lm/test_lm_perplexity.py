"""Perplexity of language models, and dynamic evaluation."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from lm_world import network

from kdasr.cli import main
from kdasr.lm.dynamic import dynamic_perplexity, mean_squares
from kdasr.lm.model import load, load_all
from kdasr.lm.perplexity import perplexity
from kdasr.lm.piece import backward
from kdasr.lm.text import load_vocabulary, read_stream, streams


def test_every_token_has_the_one_before_it():
    words, target = streams(np.arange(1, 8), 3, 10)
    assert words.tolist() == [[10, 1, 2], [3, 4, 5], [6, 10, 10]]
    assert target.tolist() == [[1, 2, 3], [4, 5, 6], [7, -1, -1]]


def test_perplexity_is_over_every_token_and_of_the_mean_probability():
    ids = np.random.default_rng(0).integers(0, 11, 200)
    models = [network(1), network(2)]
    inputs = torch.tensor([[10, *ids[:-1]]])
    each = [one(inputs, None)[0][0].exp()[range(200), ids] for one in models]
    for chosen, p in ((models[:1], each[0]), (models, (each[0] + each[1]) / 2)):
        found = perplexity(chosen, ids, progress=False)
        assert found.tokens == 200
        assert found.ppl == pytest.approx(math.exp(-p.log().double().mean().item()), rel=1e-5)
    # read in streams, each begins anew
    found = perplexity(models[:1], ids, 3, progress=False)
    parts = []
    for start, stop in ((0, 67), (67, 134), (134, 200)):
        before = 10 if start == 0 else ids[start - 1]
        logp = models[0](torch.tensor([[before, *ids[start : stop - 1]]]), None)[0][0]
        parts.append(-logp[range(stop - start), ids[start:stop]].sum().item())
    assert found.nll == pytest.approx(sum(parts), rel=1e-5)


def test_dynamic_evaluation_by_hand():
    """Two pieces of five words: the first by the trained weights, the second after one step of the rule."""
    ids = np.random.default_rng(0).integers(0, 11, 10)
    train = np.random.default_rng(1).integers(0, 11, 300)
    model = network(1)
    before = [p.detach().clone() for p in model.parameters()]
    found = dynamic_perplexity(model, ids, train, rate=0.05, decay=0.1)
    assert all((p == first).all() for p, first in zip(model.parameters(), before, strict=True))

    squares = mean_squares(model, train)
    inputs = torch.tensor([[10, *ids[:-1]]])
    logp, state = model(inputs[:, :5], None)
    first = -logp[0, range(5), ids[:5]].mean()
    first.backward()
    with torch.no_grad():
        for p, square in zip(model.parameters(), squares, strict=True):
            p -= 0.05 * p.grad / (square.sqrt() + 1e-5)  # at the trained weights there is nothing to decay
        logp, _ = model(inputs[:, 5:], [(h.detach(), c.detach()) for h, c in state])
        second = -logp[0, range(5), ids[5:]].mean()
    assert found.nll == pytest.approx(5 * (first + second).item(), rel=1e-4)


def test_dynamic_evaluation_of_many_pieces_by_hand(monkeypatch):
    """Every gradient taken anew: the mean squares over the training text, then piece after piece with its decay."""
    ids = np.random.default_rng(0).integers(0, 11, 23)  # the last piece has three words
    train = np.random.default_rng(1).integers(0, 11, 118)  # 20 streams of 6; the last one ends with 2 of filling
    model, other = network(1), network(1)
    monkeypatch.setattr("kdasr.lm.dynamic.TRAIN_STEPS", 3)
    rate, decay = 0.05, 0.4
    found = dynamic_perplexity(model, ids, train, rate, decay)

    def gradient(words, target, state):
        logp, after = other(words, state)
        loss = -logp.flatten(0, 1)[range(target.numel()), target.flatten()].mean()
        grads = torch.autograd.grad(loss, list(other.parameters()))
        return loss.item(), grads, [(h.detach(), c.detach()) for h, c in after]

    words, target = torch.tensor([10, *train[:-1], 10, 10]).view(20, 6), torch.tensor([*train, -1, -1]).view(20, 6)
    state, squares = other.zero(20), [torch.zeros_like(p) for p in other.parameters()]
    for start, stop in ((0, 3), (3, 4)):  # columns with filling are left out
        _, grads, state = gradient(words[:, start:stop], target[:, start:stop], state)
        squares = [total + g**2 / 2 for total, g in zip(squares, grads, strict=True)]
    for mine, square in zip(mean_squares(model, train), squares, strict=True):
        torch.testing.assert_close(mine, square, rtol=1e-4, atol=1e-9)
    mean = torch.cat([s.sqrt().flatten() for s in squares]).mean()
    first = [p.detach().clone() for p in other.parameters()]
    keep = [(decay * s.sqrt() / mean).clamp(max=1) for s in squares]
    assert any((k == 1).any() for k in keep) and any(((k < 1) & (k > 0)).any() for k in keep)
    before, nll, state = torch.tensor([[10, *ids[:-1]]]), 0.0, other.zero(1)
    for start in range(0, 23, 5):
        gold = torch.from_numpy(ids[start : start + 5])[None]
        loss, grads, state = gradient(before[:, start : start + 5], gold, state)
        nll += loss * gold.numel()
        with torch.no_grad():
            for p, p0, s, k, g in zip(other.parameters(), first, squares, keep, grads, strict=True):
                p += k * (p0 - p) - rate * g / (s.sqrt() + 1e-5)
    assert found.tokens == 23 and found.nll == pytest.approx(nll, rel=1e-4)


def test_the_weights_are_back_after_dynamic_evaluation_that_failed(monkeypatch):
    model = network(1)
    before = [p.detach().clone() for p in model.parameters()]
    plain, calls = backward, []

    def stopping(*args):
        calls.append(1)
        if len(calls) == 4:  # one piece of training text, three of the text
            raise KeyboardInterrupt
        return plain(*args)

    monkeypatch.setattr("kdasr.lm.dynamic.backward", stopping)
    with pytest.raises(KeyboardInterrupt):
        dynamic_perplexity(model, np.tile([1, 2, 3], 20), np.tile([1, 2], 30), 0.05, 0.1)
    assert all((p == first).all() and p.grad is None for p, first in zip(model.parameters(), before, strict=True))


def test_dynamic_evaluation_helps_on_a_text_of_its_own_kind():
    """A text that repeats three words, of which the model knows nothing."""
    ids = np.tile([1, 2, 3], 60)
    train = np.random.default_rng(1).integers(0, 11, 400)
    model = network(1)
    plain, learning = perplexity([model], ids, progress=False), dynamic_perplexity(model, ids, train, 0.01, 0.0)
    assert learning.ppl < 0.8 * plain.ppl


def test_dynamic_evaluation_has_the_rate_and_decay_of_the_command_line(corpus, tmp_path):
    model, _ = load(corpus / "teacher1")
    ids, train = (
        read_stream(corpus / f"{name}.txt", load_vocabulary(corpus / "words")).ids for name in ("valid", "train")
    )
    found = set()
    for rate, decay in ((0.01, 0.0), (0.01, 0.9), (0.03, 0.9)):
        command = ["--model", str(corpus / "teacher1"), "--text", str(corpus / "valid.txt"), "--out", str(tmp_path)]
        command += ["--dynamic", str(corpus / "train.txt"), "--dynamic_rate", str(rate), "--dynamic_decay", str(decay)]
        assert main(["lm", "ppl", *command]) == 0
        told = json.loads((tmp_path / "valid_dynamic.json").read_text())
        expected = dynamic_perplexity(model, ids, train, rate, decay)
        assert told["nll"] == pytest.approx(expected.nll, rel=1e-5) and told["ppl"] == pytest.approx(expected.ppl)
        assert told["ppl"] == pytest.approx(math.exp(told["nll"] / 60)) and told["tokens"] == 60
        found.add(round(told["ppl"], 5))
    assert len(found) == 3


def test_perplexity_of_several_models_and_a_text_with_unknown_words(corpus, tmp_path):
    """12 lines of five tokens and one of three, of which two words are unknown; both models are asked."""
    (tmp_path / "x.txt").write_text((corpus / "valid.txt").read_text() + "elk owl\n")
    models = [str(corpus / "teacher1"), str(corpus / "teacher2")]
    assert main(["lm", "ppl", "--model", *models, "--text", str(tmp_path / "x.txt"), "--out", str(tmp_path)]) == 0
    told = json.loads((tmp_path / "x.json").read_text())
    ids = read_stream(tmp_path / "x.txt", load_vocabulary(corpus / "words")).ids
    inputs = torch.tensor([[10, *ids[:-1]]])
    p = sum(load(one)[0](inputs, None)[0][0].exp() for one in models) / 2
    assert told["nll"] == pytest.approx(-p[range(63), ids].log().double().sum().item(), rel=1e-5)
    assert (told["tokens"], told["unknown"], told["models"]) == (63, 2, models)


def test_models_of_other_words_of_the_same_number_are_not_averaged(corpus, tmp_path):
    from kdasr.errors import UserError

    shutil.copytree(corpus / "teacher2", tmp_path / "other")
    config = (tmp_path / "other/config.yaml").read_text()
    (tmp_path / "other/config.yaml").write_text(config.replace("- cat\n", "- fox\n"))
    assert len(load_all([str(corpus / "teacher1"), str(corpus / "teacher2")])[0]) == 2
    with pytest.raises(UserError, match=r"other: has another vocabulary than .*teacher1; name models of one"):
        load_all([str(corpus / "teacher1"), str(tmp_path / "other")])
