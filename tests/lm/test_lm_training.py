"""Training, perplexity, stored targets and dynamic evaluation of small language models."""

import dataclasses
import itertools
import json
import math
import shutil

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.cli import main
from kdasr.data.tokens import Tokens
from kdasr.lm import trainer
from kdasr.lm.dynamic import dynamic_perplexity, mean_squares
from kdasr.lm.model import load, load_all, save_config
from kdasr.lm.perplexity import perplexity
from kdasr.lm.piece import OnlineTeachers, backward
from kdasr.lm.settings import LmSettings, read_settings
from kdasr.lm.soft import StoredTeacher, storage, store
from kdasr.lm.text import Words, load_vocabulary, read_stream, streams
from kdasr.losses import OBJECTIVES
from kdasr.losses.trust import trust
from kdasr.networks.awd import AwdLstm

SMALL = {"embed": 10, "hidden": 16, "last": 12, "layers": 1, "experts": 3}
SET = [f"{name}={value}" for name, value in SMALL.items()]
SET += [f"drop_{kind}=0" for kind in ("input", "hidden", "output", "latent", "embed", "weight")]
# twice this rate, and how well a training ends depends on the seed, or on how a processor rounds: 1.4 to 2.2
SET += ["activation=0", "temporal=0", "streams=3", "steps=6", "rate=4", "clip=1", "patience=4", "epochs=12"]


def network(seed=0):
    """Eleven words, whose distributions are far from even."""
    torch.manual_seed(seed)
    model = AwdLstm(11, **SMALL).eval()
    with torch.no_grad():
        model.embed.weight.mul_(20)
    return model


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Texts of a small grammar, a vocabulary, and two teachers."""
    root = tmp_path_factory.mktemp("lm")
    generator = np.random.default_rng(0)
    for name, lines in (("train", 60), ("valid", 12)):
        text = ""
        for _ in range(lines):
            animal = generator.choice(["cat", "dog", "cow"])
            text += f"the {animal} {'sat' if animal == 'cat' else 'ran'} {generator.choice(['here', 'there'])}\n"
        (root / f"{name}.txt").write_text(text)
    assert main(["lm", "words", "--text", str(root / "train.txt"), "--out", str(root / "words")]) == 0
    for seed in ("1", "2"):
        assert lm_train(root, root / f"teacher{seed}", "--seed", seed) == 0
    return root


def lm_train(root, out, *words, settings=()):
    texts = ["--train", str(root / "train.txt"), "--valid", str(root / "valid.txt"), "--words", str(root / "words")]
    return main(["lm", "train", *texts, "--out", str(out), "--set", *SET, *settings, *words])


# ------------------------------------------------------------------------------------------ loss and gradient


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_pieces_loss_and_gradient_are_those_of_the_whole(objective, monkeypatch):
    """Slices of two rows, against the loss written with whole matrices."""
    model, teachers = network(), [network(1), network(2)]
    words, target = torch.randint(11, (2, 2, 5), generator=torch.Generator().manual_seed(0))
    settings = LmSettings(objective=objective, alpha=0.3, power=0.5, temperature=2.0, activation=0.7, temporal=0.4)
    monkeypatch.setattr("kdasr.lm.piece.SLICE", 2 * model.experts * 11)
    online = OnlineTeachers(teachers)
    online.restart(2)
    online.read(words)
    loss, nll, _ = backward(model, words, target, model.zero(2), settings, online)
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()

    x, _, raw = model.hidden(words, model.zero(2))
    logp = model.log_probs(x.flatten(0, 1))
    with torch.no_grad():
        q = sum(one(words, None)[0].exp() for one in teachers).flatten(0, 1) / 2
    gold = target.flatten()
    hard = -logp[range(10), gold]
    soft_q, soft_p = torch.softmax(q.log() / 2, -1), torch.softmax(logp / 2, -1)
    kl = 4 * (soft_q * (soft_q.log() - soft_p.log())).sum(-1)
    sure = q[range(10), gold]
    w = sure**0.5 / (sure**0.5 + (1 - sure) ** 0.5)
    best = (q.argmax(-1) == gold).float()
    a, b = {
        "ce": (1, 0),
        "kl": (0, 1),
        "fixed": (0.3, 0.7),
        "constant": (0.3, 1),
        "trust": (-0.3 * (1 - sure).log(), 1),
        "adaptive": (1 - w, w),
        "conditional": (1 - best, best),
    }[objective]
    expected = (a * hard + b * kl).mean()
    extra = 0.7 * (x**2).mean() + 0.4 * ((raw[:, 1:] - raw[:, :-1]) ** 2).mean()
    (expected + extra).backward()
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    assert nll == pytest.approx(hard.mean().item(), rel=1e-4)
    for mine, p in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad, rtol=1e-3, atol=1e-6)


DROPS = dict.fromkeys(("input", "hidden", "output", "latent", "embed", "weight"), 0.4)


def test_a_pieces_loss_and_gradient_with_every_dropout(monkeypatch):
    """The same draws, once in slices of three rows and once in whole matrices; x is dropped, raw is not."""
    torch.manual_seed(0)
    model = AwdLstm(11, **(SMALL | {"layers": 2})).train()
    model.drop = dict(DROPS)
    words, target = torch.randint(11, (2, 4, 5))
    settings = LmSettings(activation=0.7, temporal=0.4)
    monkeypatch.setattr("kdasr.lm.piece.SLICE", 3 * model.experts * 11)
    torch.manual_seed(1)
    loss, nll, after = backward(model, words, target, model.zero(4), settings)
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    torch.manual_seed(1)
    x, state, raw = model.hidden(words, model.zero(4))
    hard = -model.log_probs(x.flatten(0, 1), model.latent_mask(4, 5))[range(20), target.flatten()]
    assert loss == nll == pytest.approx(hard.mean().item(), rel=1e-5)
    assert not torch.equal(x, raw) and not after[0][0].requires_grad
    torch.testing.assert_close(after, [(h.detach(), c.detach()) for h, c in state])
    extra = 0.7 * (x**2).mean() + 0.4 * ((raw[:, 1:] - raw[:, :-1]) ** 2).mean()
    (hard.mean() + extra).backward()
    for mine, p in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad, rtol=1e-3, atol=1e-6)


# ----------------------------------------------------------------------------------------------- perplexity


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


# ------------------------------------------------------------------------------------------ stored targets


def test_all_words_stored_are_the_teacher_online(tmp_path):
    ids = np.random.default_rng(0).integers(0, 11, 40).astype(np.int32)
    teachers, text = [network(1), network(2)], tmp_path / "text"
    text.write_text("x")
    store(teachers, ids, 11, None, tmp_path)
    stored = stored_teacher(tmp_path, text)
    online = OnlineTeachers(teachers)
    online.restart(1)
    words, target = (torch.from_numpy(side) for side in streams(ids, 1, 10))
    losses = []
    for teacher in (stored, online):
        teacher.read(words, 0, 40)
        model = network()
        losses.append(backward(model, words, target, model.zero(1), LmSettings(objective="trust"), teacher)[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # half precision on the one side


def test_stored_rows_are_those_of_their_place_in_the_text(tmp_path):
    ids = np.random.default_rng(0).integers(0, 11, 24).astype(np.int32)
    teacher, text = network(1), tmp_path / "text"
    text.write_text("x")
    store([teacher], ids, 3, None, tmp_path)
    stored = stored_teacher(tmp_path, text)
    logq = teacher(torch.from_numpy(streams(ids, 1, 10)[0]), None)[0][0]  # (24, V)
    # words 5 to 7 of two streams of 12 tokens
    stored.read(torch.zeros(2, 3, dtype=torch.long), 5, 12)
    places = [5, 6, 7, 17, 18, 19]
    kept, values, gold, best = stored.rows(1, 6, torch.zeros(0))
    expected = logq[places[1:]]
    assert kept.tolist() == expected.topk(3).indices.tolist()
    torch.testing.assert_close(values, expected.topk(3).values, rtol=0, atol=2e-3)
    torch.testing.assert_close(gold, expected[range(5), ids[places[1:]]], rtol=1e-4, atol=1e-5)
    assert best.tolist() == (expected.argmax(-1).numpy() == ids[places[1:]]).tolist()


def test_draws_follow_the_distribution(tmp_path):
    ids = np.zeros(1, dtype=np.int32)
    teacher = network(1)
    store([teacher], ids, 20_000, 7, tmp_path)
    drawn = np.load(tmp_path / "ids.npy")[0]
    shares = torch.from_numpy(np.bincount(drawn, minlength=11) / len(drawn)).float()
    torch.testing.assert_close(shares, teacher(torch.tensor([[10]]), None)[0][0, 0].exp(), rtol=0, atol=0.01)
    assert not (tmp_path / "logq.npy").exists()


def test_draws_are_made_anew_for_each_word_and_by_their_seed(tmp_path):
    """With replacement: a word may be there twice. As many of each word as its probabilities say, over all tokens."""
    ids = np.random.default_rng(3).integers(0, 11, 400).astype(np.int32)
    teacher, drawn = network(1), []
    for number, seed in enumerate((7, 7, 8)):
        (tmp_path / str(number)).mkdir()
        store([teacher], ids, 8, seed, tmp_path / str(number))
        drawn.append(np.load(tmp_path / str(number) / "ids.npy"))
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
    assert any(len(set(row)) < 8 for row in drawn[0].tolist())
    p = teacher(torch.from_numpy(streams(ids, 1, 10)[0]), None)[0][0].exp().mean(0).detach().numpy()
    np.testing.assert_allclose(np.bincount(drawn[0].ravel(), minlength=11) / 3200, p, atol=0.035)  # 4 deviations


def test_pieces_and_slices_change_nothing_that_is_stored(tmp_path, monkeypatch):
    ids = np.random.default_rng(3).integers(0, 11, 40).astype(np.int32)
    teachers = [network(1), network(2)]
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
        store(teachers, ids, 4, None, tmp_path / name)
        monkeypatch.setattr("kdasr.lm.soft.STEPS", 7)
        monkeypatch.setattr("kdasr.lm.piece.SLICE", 3 * teachers[0].experts * 11)
    for name in ("ids", "gold", "best", "logq"):
        whole, cut = (np.load(tmp_path / kind / f"{name}.npy") for kind in ("whole", "cut"))
        assert whole.dtype == cut.dtype
        np.testing.assert_allclose(whole.astype(float), cut.astype(float), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("words", [40_000, 65_536, 65_537])
def test_numbers_of_all_words_fit_where_they_are_stored(tmp_path, words):
    model = AwdLstm(words, embed=1, hidden=1, last=1, layers=1, experts=1).eval()
    store([model], np.array([words - 1], dtype=np.int32), words, None, tmp_path)
    assert (np.sort(np.load(tmp_path / "ids.npy")[0].astype(int)) == np.arange(words)).all()


def test_stored_targets_are_known_by_all_they_were_made_from(corpus, tmp_path, capsys):
    out = str(tmp_path / "soft")
    teachers = [str(corpus / "teacher1"), str(corpus / "teacher2")]
    base = {
        "--teachers": teachers,
        "--text": [str(corpus / "valid.txt")],
        "--kept": ["3"],
        "--draws": [],
        "--seed": ["4"],
    }

    def call(options):
        return main(["lm", "soft", *(word for key, values in options.items() for word in (key, *values)), "--out", out])

    assert call(base) == call(base) == 0
    plain = {key: value for key, value in base.items() if key != "--draws"}
    for changed in (
        base | {"--teachers": teachers[::-1]},
        base | {"--teachers": teachers[:1]},
        base | {"--text": [str(corpus / "train.txt")]},
        base | {"--kept": ["4"]},
        base | {"--seed": ["5"]},
        plain,
    ):
        capsys.readouterr()
        assert call(changed) == 1, changed
        assert "soft: holds other targets" in capsys.readouterr().err
    from kdasr.errors import UserError

    words = load(corpus / "teacher1")[1]
    (tmp_path / "other.txt").write_text("x\n")
    for text, listed, said in (
        (tmp_path / "other.txt", words, "targets of another text"),
        (corpus / "valid.txt", words[1:], "targets over 11 words, but the student has 10"),
        (corpus / "valid.txt", [*words, "x"], "targets over 11 words, but the student has 12"),
    ):
        with pytest.raises(UserError, match=said):
            StoredTeacher(out, text, listed, torch.device("cpu"))
    StoredTeacher(out, corpus / "valid.txt", words, torch.device("cpu"))


def test_storage_is_told_before():
    told = "storing 85 bytes a token (20 x 2 for words, 20 x 2 for their probabilities, 5 for the text's), 79.0 MB"
    assert storage(929_589, 20, 10_000, draws=False).startswith(told)
    assert "20 x 4 for words, 5 for" in storage(1, 20, 70_000, draws=True)


def stored_teacher(directory, text):
    from kdasr.files import write_json
    from kdasr.shards import digest

    draws = None if (directory / "logq.npy").exists() else 1
    write_json(directory / "soft.json", {"text": digest(text), "vocabulary": 11, "draws": draws})
    return StoredTeacher(directory, text, ["w"] * 11, torch.device("cpu"))


# --------------------------------------------------------------------------------------------------- training


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


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_the_configuration_says_what_tokens_are(tmp_path, kind):
    listed = ["<blank>", "<unk>", "a", "<sos/eos>"]
    vocabulary = Words(listed) if kind == "word" else Tokens(kind, listed, [])
    (tmp_path / "words").mkdir()
    save_config(tmp_path, tmp_path / "words", 4, LmSettings(embed=7), vocabulary)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert (config["token_type"], config["token_list"], config["seed"]) == (kind, listed, 4)
    both = config["lm_conf"] | config["optimisation"]
    assert both == dataclasses.asdict(LmSettings(embed=7)) and len(both) == len(config["lm_conf"]) + len(
        config["optimisation"]
    )
    AwdLstm(4, **config["lm_conf"])


def weights(directory):
    return load(directory)[0].state_dict()


def test_a_trained_model_knows_its_grammar_and_says_what_it_is(corpus):
    record = json.loads((corpus / "teacher1/kdasr.json").read_text())
    assert record["parameters"] == sum(p.numel() for p in load(corpus / "teacher1")[0].parameters())
    assert record["epochs"] == 12 and record["vocabulary"] == 11
    # <sos/eos> and "the" are certain, an animal one of three, verb certain, place one of two: 6 ** (1 / 5) = 1.43
    log = (corpus / "teacher1/log").read_text().splitlines()
    assert len(log) == 12 and log[-1].startswith("epoch 12: loss ")
    assert record["valid_ppl"] < 1.5


def test_killed_anywhere_and_resumed_the_weights_are_the_same(corpus, tmp_path, monkeypatch):
    for teachers in ([], ["--teachers", str(corpus / "teacher1")]):
        name = "b" if teachers else "a"
        dropout = ["drop_embed=0.1", "drop_hidden=0.2", "epochs=5", "average_after=2"]
        assert lm_train(corpus, tmp_path / f"whole_{name}", *teachers, settings=dropout) == 0
        plain, calls = trainer.Loop.piece, []
        for limit in (3, 25, 30):  # in the first epoch, of some 17 pieces; in the second; in the fourth

            def stopping(self, limit=limit):
                calls.append(1)
                if len(calls) > limit:
                    raise KeyboardInterrupt
                return plain(self)

            calls.clear()
            monkeypatch.setattr(trainer.Loop, "piece", stopping)
            assert lm_train(corpus, tmp_path / name, *teachers, "--save_minutes", "0", settings=dropout) == 130
        monkeypatch.setattr(trainer.Loop, "piece", plain)
        assert lm_train(corpus, tmp_path / name, *teachers, "--save_minutes", "0", settings=dropout) == 0
        whole, resumed = weights(tmp_path / f"whole_{name}"), weights(tmp_path / name)
        assert all((whole[key] == resumed[key]).all() for key in whole)
        logs = [(tmp_path / one / "log").read_text() for one in (f"whole_{name}", name)]
        assert [line.rsplit(",", 1)[0] for line in logs[0].splitlines()] == [
            line.rsplit(",", 1)[0] for line in logs[1].splitlines()
        ]


IDS = np.random.default_rng(5).integers(0, 11, 4 * 61 + 3)  # three words are left over


def loop_of(tmp_path, ids=IDS, model=None, teacher=None, **changes):
    return trainer.Loop(model or network(1), LmSettings(**({"streams": 4} | changes)), ids, teacher, tmp_path)


@pytest.mark.parametrize("steps", [5, 12, 30])
def test_lengths_of_pieces_and_their_rates_are_the_papers(tmp_path, steps):
    """Merity et al. 2018, section 5: N(steps, 5), of half the mean once in 20; the rate goes by the length."""
    model = AwdLstm(11, embed=2, hidden=2, last=2, layers=1, experts=1)
    size = 130 * steps
    loop = loop_of(tmp_path, np.zeros(size, int), model, steps=steps, rate=0.5, streams=1, weight_decay=0.0)
    state, kinds = torch.get_rng_state(), set()
    found = []
    while loop.position < size:
        found.append(loop.piece())
        assert loop.optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * found[-1] / steps)
    assert sum(found) == size
    torch.set_rng_state(state)
    for place, length in enumerate(found):
        half = torch.rand(()).item() < 0.05
        drawn = int((steps / 2 if half else steps) + 5 * torch.randn(()).item())
        bounded = min(max(5, drawn), steps + 10)
        kinds.add((half, (drawn > steps + 10) - (drawn < 5)))
        assert length == bounded or (place == len(found) - 1 and length < bounded)
    assert {(False, 0), (False, 1)} <= kinds and any(half for half, _ in kinds)


@pytest.mark.parametrize("objective", ["", "trust"])
@pytest.mark.parametrize("clip", [0.05, 100.0])
def test_an_epoch_is_a_step_of_sgd_a_piece(tmp_path, objective, clip):
    """rate length / steps (g min(1, clip / |g|) + decay w), the state going on from piece to piece."""
    teacher = OnlineTeachers([network(2)]) if objective else None
    changes = {"objective": objective} if objective else {}
    loop = loop_of(tmp_path, teacher=teacher, steps=9, rate=0.7, clip=clip, weight_decay=0.01, patience=5, **changes)
    other, beside = network(1), OnlineTeachers([network(2)])
    beside.restart(4)
    words, target = (torch.from_numpy(side) for side in streams(IDS[:244], 4, 10))
    state, begin, sums, norms = other.zero(4), 0, [0.0, 0.0], []
    while begin < 61:
        length = loop.piece()
        piece, gold = words[:, begin : begin + length], target[:, begin : begin + length]
        beside.read(piece)
        mean, nll, state = backward(other, piece, gold, state, loop.settings, beside if objective else None)
        norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in other.parameters())))
        with torch.no_grad():
            for p in other.parameters():
                p -= 0.7 * length / 9 * (p.grad * min(1.0, clip / (norms[-1] + 1e-6)) + 0.01 * p)
        other.zero_grad()
        begin += length
        sums = [sums[0] + mean * length, sums[1] + nll * length]
        assert loop.position == begin and loop.sums == pytest.approx(sums, rel=1e-4)
        for mine, p in zip(loop.model.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(mine, p, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(loop.state, state, rtol=1e-4, atol=1e-5)
    assert len(norms) > 4 and (min(norms) > clip if clip < 1 else max(norms) < clip)
    line = loop.end_epoch(IDS)
    assert line.startswith(f"epoch 1: loss {sums[0] / 61:.4f}, training perplexity {math.exp(sums[1] / 61):.2f}, ")
    assert (sums[0] != sums[1]) == bool(objective)
    states = loop.state + (loop.teacher.states[0] if teacher else [])  # the next epoch begins anew
    assert (loop.position, loop.sums) == (0, [0.0, 0.0]) and all((h == 0).all() and (c == 0).all() for h, c in states)


def same(one, other):
    """Whether two parts of a training are equal: numbers, tensors, and what holds them."""
    if isinstance(one, torch.nn.Module):
        return same(one.state_dict(), other.state_dict())
    if isinstance(one, OnlineTeachers):
        return same(one.states, other.states)
    if isinstance(one, torch.optim.Optimizer):
        return True  # SGD without momentum; its rate is set at each piece
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("averaged", [False, True])
def test_a_checkpoint_has_all_of_a_training(tmp_path, averaged):
    """Whatever a loop holds; then both go on alike."""
    changes = {"patience": 0 if averaged else 5, "steps": 8, "rate": 0.3, "objective": "kl"}
    torch.manual_seed(3)
    loop = loop_of(tmp_path, teacher=OnlineTeachers([network(2)]), **changes)
    for _ in range(2):
        while loop.position < 61:
            loop.piece()
        loop.end_epoch(IDS)
    loop.seconds = 2.5
    loop.piece()
    loop.piece()
    loop.save()
    drawn = torch.get_rng_state()
    loop.model.zero_grad()
    torch.manual_seed(4)
    other = loop_of(tmp_path, model=network(7), teacher=OnlineTeachers([network(2)]), **changes)
    assert torch.equal(torch.get_rng_state(), drawn) and len(other.history) == 2
    assert {"average", "epoch", "history", "position", "seconds", "state", "sums", "teacher"} <= vars(loop).keys()
    assert [name for name in vars(loop) if not same(vars(loop)[name], vars(other)[name])] == []
    loop.piece()
    torch.set_rng_state(drawn)
    other.piece()
    assert [name for name in vars(loop) if not same(vars(loop)[name], vars(other)[name])] == []


@pytest.mark.parametrize("averaged", [False, True])
def test_the_model_that_is_kept_is_the_best_so_far(tmp_path, averaged):
    """Better than every epoch before; as good is not better. Once averaging has begun, the average counts."""
    loop = loop_of(tmp_path, patience=0 if averaged else 5, steps=8, rate=0.5)
    for _ in range(3):
        loop.piece()
    network_now = loop.average.module if averaged else loop.model
    assert not averaged or not torch.equal(network_now.out.bias, loop.model.out.bias)
    ppl = perplexity([network_now.eval()], IDS, trainer.VALID_STREAMS, progress=False).ppl
    for history, kept in (([], True), ([ppl - 1, ppl + 1], False), ([ppl], False), ([ppl + 1, ppl + 2], True)):
        (tmp_path / trainer.MODEL).unlink(missing_ok=True)
        loop.history, loop.sums, loop.position = list(history), [1.0, 1.0], 1
        assert (", averaged, " in loop.end_epoch(IDS)) == averaged
        assert loop.history == [*history, pytest.approx(ppl)]
        assert (tmp_path / trainer.MODEL).exists() == kept
        if kept:
            stored = torch.load(tmp_path / trainer.MODEL)
            assert all(torch.equal(stored[f"lm.{name}"], value) for name, value in network_now.state_dict().items())


def test_when_training_ends():
    """After the last epoch; or when averaging has begun and `stop` epochs have passed since the best one."""
    loop, ended = object.__new__(trainer.Loop), set()
    for length, stop, more, averaged in itertools.product(range(6), range(4), (-1, 0, 1, 5), (False, True)):
        for history in itertools.product([1.0, 2.0], repeat=length):
            loop.settings = LmSettings(stop=stop, epochs=length + more)
            loop.history, loop.epoch, loop.average = list(history), length, object() if averaged else None
            best = history.index(min(history)) if history else -1
            since = length - 1 - best if history else 0
            by_stop = averaged and stop > 0 and since >= stop
            assert loop.done() == (more <= 0 or by_stop), (history, stop, more, averaged)
            ended.add((more <= 0, by_stop))
    assert len(ended) == 4


@examples(20)
@given(st.lists(st.booleans(), max_size=8), st.integers(0, 6), st.integers(0, 9))
def test_averaging_begins_by_the_papers_rule(tmp_path_factory, better, patience, average_after):
    """Epochs before were better than this one or not."""
    changes = {"steps": 8, "patience": patience, "average_after": average_after}
    loop = trainer.Loop(
        AwdLstm(11, embed=2, hidden=2, last=2, layers=1, experts=1),
        LmSettings(streams=4, **changes), IDS[:40], None, tmp_path_factory.mktemp("loop"),
    )  # fmt: skip
    assert (loop.average is not None) == (patience == 0)
    loop.history, loop.epoch, loop.sums, loop.position = (
        [1.0 if one else 99.0 for one in better],
        len(better),
        [1.0] * 2,
        1,
    )
    loop.end_epoch(IDS[:40])
    by_rule = patience == 0 or any(better[: max(0, len(better) - patience)])
    assert (loop.average is not None) == (by_rule or len(better) + 1 == average_after)


def test_averaging_begins_when_nothing_improves(tmp_path):
    """NT-ASGD: with patience 1, after the first epoch that is worse than the best of those before the last one."""
    assert LmSettings(patience=0).patience == 0
    ids = np.tile([1, 2, 3, 4], 30)
    model = network(1)
    loop = trainer.Loop(model, LmSettings(streams=4, steps=8, rate=1e-4, patience=1), ids, None, tmp_path)
    for history, averaged in (([5.0], False), ([1e-3, 5.0], True)):
        loop.average, loop.history, loop.sums, loop.position = None, list(history), [1.0, 1.0], 1
        loop.end_epoch(ids)
        assert (loop.average is not None) == averaged
    # the average is the mean of the weights after each piece
    loop.average, seen = trainer.AveragedModel(model), []
    for _ in range(3):
        loop.piece()
        seen.append(model.out.bias.detach().clone())
    torch.testing.assert_close(loop.average.module.out.bias, torch.stack(seen).mean(0))


def test_averaging_begins_after_a_given_epoch_at_the_latest(tmp_path):
    """However the validation perplexity falls; earlier if it does not."""
    ids = np.tile([1, 2, 3, 4], 30)
    settings = LmSettings(streams=4, steps=8, rate=1e-4, patience=5, average_after=2)
    for worse, begun in ((False, [False, True, True]), (True, [True, True, True])):
        (tmp_path / str(worse)).mkdir()
        loop = trainer.Loop(network(1), settings, ids, None, tmp_path / str(worse))
        loop.history = [1e-3] * 6 if worse else [1e9] * 6
        found = []
        for _ in begun:
            loop.sums, loop.position = [1.0, 1.0], 1
            loop.end_epoch(ids)
            found.append(loop.average is not None)
        assert found == begun


def test_students_learn_online_and_from_stored_targets(corpus, tmp_path, capsys):
    teachers = [str(corpus / "teacher1"), str(corpus / "teacher2")]
    train = str(corpus / "train.txt")
    soft = str(tmp_path / "soft")
    command = ["lm", "soft", "--teachers", *teachers, "--text", train, "--kept", "0", "--out", soft]
    assert main(command) == 0 and "bytes a token" in capsys.readouterr().out
    assert main(command) == 0 and "there already" in capsys.readouterr().out
    assert np.load(tmp_path / "soft/ids.npy").shape[1] == 11  # all words
    assert lm_train(corpus, tmp_path / "online", "--teachers", *teachers) == 0
    assert lm_train(corpus, tmp_path / "stored", "--soft", soft) == 0
    found = [json.loads((tmp_path / name / "kdasr.json").read_text()) for name in ("online", "stored")]
    assert found[0]["objective"] == found[1]["objective"] == "trust"
    assert found[0]["valid_ppl"] == pytest.approx(found[1]["valid_ppl"], rel=0.1)
    capsys.readouterr()
    out, valid = tmp_path / "ppl", str(corpus / "valid.txt")
    command = ["lm", "ppl", "--model", str(tmp_path / "online"), "--text", valid, "--out", str(out)]
    assert main([*command[:-2], train, *command[-2:]]) == 0
    assert json.loads((out / "valid.json").read_text())["ppl"] == pytest.approx(found[0]["valid_ppl"])
    assert json.loads((out / "train.json").read_text())["tokens"] == found[0]["train_tokens"]
    assert main([*command, "--dynamic", train]) == 0
    assert json.loads((out / "valid_dynamic.json").read_text())["tokens"] == 60


def test_finetuning_begins_with_the_weights_of_another(corpus, tmp_path, capsys):
    out = tmp_path / "fine"
    assert lm_train(corpus, out, "--init", str(corpus / "teacher1"), settings=["epochs=1", "rate=1e-9"]) == 0
    first, second = weights(corpus / "teacher1"), weights(out)
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first)
    assert lm_train(corpus, tmp_path / "x", "--init", str(corpus / "teacher1"), settings=["last=9"]) == 1
    assert "its network or vocabulary is another one" in capsys.readouterr().err


def test_what_is_wrong_is_said(corpus, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("a b c\n" * 20)
    assert main(["lm", "words", "--text", str(tmp_path / "other.txt"), "--out", str(tmp_path / "words")]) == 0
    for words, said in (
        (["--teachers", str(corpus / "teacher1"), "--words", str(tmp_path / "words"), "--train",
          str(tmp_path / "other.txt"), "--valid", str(tmp_path / "other.txt")], "has another vocabulary than"),
        (["--train", str(tmp_path / "other.txt")], "other.txt:1: a is not among the 11 words of the vocabulary"),
        (["--soft", str(tmp_path)], "soft.json: no such file; store targets there"),
        (["--valid", str(tmp_path / "none")], "none: no such file; give a text"),
        (["--teachers", str(corpus / "teacher1"), "--soft", "x"], "--teachers, --soft: leave one out"),
        (["--teachers", str(tmp_path / "none")], "none/valid.loss.best.pth: no such file; train a"),
    ):  # fmt: skip
        assert lm_train(corpus, tmp_path / "out", *words) == 1
        assert said in capsys.readouterr().err
    assert lm_train(corpus, corpus / "teacher1", settings=["rate=3"]) == 1
    assert "was begun with another settings" in capsys.readouterr().err
    assert lm_train(corpus, tmp_path / "wild", settings=["rate=1e30", "clip=1e30"]) == 1
    assert "the loss is" in capsys.readouterr().err


def changed_settings():
    """Every setting with another value that may be."""
    others = {bool: lambda value: not value, int: lambda value: value + 1, float: lambda value: value / 2 + 0.01}
    named = {"objective": "kl"}
    for field in dataclasses.fields(LmSettings):
        yield f"{field.name}={named.get(field.name) or others[type(field.default)](field.default)}"


def test_a_training_goes_on_with_all_that_it_was_begun_with_alone(corpus, tmp_path, capsys):
    """Each setting, option and file is changed, one at a time: refused by its name, whatever it is."""
    for name in ("words", "teacher1", "teacher2"):
        shutil.copytree(corpus / name, tmp_path / name)
    for name in ("train.txt", "valid.txt"):
        shutil.copy(corpus / name, tmp_path)
    (tmp_path / "soft").mkdir()
    (tmp_path / "soft/soft.json").write_text("{}")
    base = {
        "--conf": None, "--words": "words", "--train": "train.txt", "--valid": "valid.txt", "--seed": "1",
        "--teachers": ["teacher1", "teacher2"], "--init": "teacher1", "--out": "out",
    }  # fmt: skip

    def call(options, *more):
        words = []
        for option, value in options.items():
            values = value if isinstance(value, list) else [value] if value else []
            words += [option, *(str(tmp_path / one) if one != "1" and one != "2" else one for one in values)] * bool(
                values
            )
        return main(["lm", "train", *words, *more])

    assert call(base, "--set", *SET, "epochs=1") == 0
    (tmp_path / "out/kdasr.json").unlink()
    (tmp_path / "out/settings.json").write_text(
        json.dumps(
            json.loads((tmp_path / "out/settings.json").read_text()) | {"settings": dataclasses.asdict(LmSettings())}
        )
    )
    changes = list(changed_settings())
    assert len(changes) == len(dataclasses.fields(LmSettings)) > 20
    for change in changes:
        assert call(base, "--set", change) == 1, change
        assert "out: was begun with another settings" in capsys.readouterr().err, change
    for name, changed in {
        "seed": {"--seed": "2"},
        "train": {"--train": "valid.txt"},
        "valid": {"--valid": "train.txt"},
        "init": {"--init": "teacher2"},
        "teachers": {"--teachers": ["teacher2", "teacher1"]},
        "soft": {"--teachers": None, "--soft": "soft"},
    }.items():
        assert call(base | changed) == 1, name
        said = capsys.readouterr().err
        assert f"out: was begun with another {name}" in said or (name == "soft" and "another teachers" in said), name
    for name, changed in {"init": {"--init": None}, "teachers": {"--teachers": ["teacher1"]}}.items():
        assert call(base | changed) == 1
        assert f"out: was begun with another {name}" in capsys.readouterr().err
    for name, path in {"words": "words/tokens.txt", "train": "train.txt", "valid": "valid.txt"}.items():
        kept = (tmp_path / path).read_bytes()
        (tmp_path / path).write_bytes(kept + b"x\n")
        assert call(base) == 1
        assert f"out: was begun with another {name}" in capsys.readouterr().err
        (tmp_path / path).write_bytes(kept)
    made = json.loads((tmp_path / "out/settings.json").read_text())
    targets = base | {"--teachers": None, "--soft": "soft"}
    (tmp_path / "out/settings.json").write_text(json.dumps(made | {"teachers": [], "soft": "0123"}))
    assert call(targets) == 1
    assert "out: was begun with another soft (0123, now" in capsys.readouterr().err


def test_defaults_are_those_of_the_papers_code():
    """Of Yang et al. 2018 for Penn Treebank: their command, and their program's own defaults."""
    given = {
        "drop_input": 0.4, "drop_latent": 0.29, "drop_hidden": 0.225, "drop_output": 0.4, "drop_embed": 0.1,
        "drop_weight": 0.5, "streams": 12, "rate": 20.0, "epochs": 1000, "hidden": 960, "last": 620, "embed": 280,
        "experts": 15, "layers": 3, "steps": 70, "clip": 0.25, "activation": 2.0, "temporal": 1.0,
        "weight_decay": 1.2e-6, "patience": 5,
    }  # fmt: skip
    rest = {
        "tie": True,
        "average_after": 0,
        "stop": 0,
        "objective": "trust",
        "alpha": 0.1,
        "power": 1,
        "temperature": 1,
    }
    assert dataclasses.asdict(LmSettings()) == given | rest


WHOLE = ("embed", "hidden", "last", "layers", "experts", "streams", "epochs")
LEAST = {  # the smallest value that may be, and one that may not
    **dict.fromkeys(WHOLE, (1, 0)),
    "steps": (5, 4),
    **dict.fromkeys(("rate", "clip", "temperature", "power"), (1e-9, 0.0)),
    **dict.fromkeys(("patience", "average_after", "stop"), (0, -1)),
    **dict.fromkeys(("weight_decay", "activation", "temporal", "alpha"), (0.0, -1e-9)),
    **dict.fromkeys((f"drop_{kind}" for kind in DROPS), (0.0, -1e-9)),
}


def test_every_number_has_a_least_value():
    from kdasr.errors import UserError

    numbers = {field.name for field in dataclasses.fields(LmSettings) if not isinstance(field.default, str | bool)}
    assert LEAST.keys() == numbers
    for name, (least, less) in LEAST.items():
        beside = ["experts=2"] if name != "experts" else ["last=280"]
        assert getattr(read_settings(None, [*beside, f"{name}={least}"]), name) == least
        with pytest.raises(UserError, match=f"--set: {name} is {less}, expected"):
            read_settings(None, [*beside, f"{name}={less}"])
    for kind in DROPS:
        assert read_settings(None, [f"drop_{kind}=0.999"])
        with pytest.raises(UserError, match=f"drop_{kind} is 1.0, expected a share from 0 to below 1"):
            read_settings(None, [f"drop_{kind}=1.0"])
    for field in dataclasses.fields(LmSettings):
        if isinstance(field.default, float):
            with pytest.raises(UserError, match=f"{field.name} is inf, expected a finite number"):
                read_settings(None, [f"{field.name}=.inf"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("hiden=5", "no setting 'hiden'; expected hidden"),
        ("hidden=big", "hidden is 'big', expected int"),
        ("drop_embed=1", "drop_embed is 1.0, expected a share"),
        ("rate=nan", "rate is nan, expected a finite number"),
        ("objective=trsut", "expected one of ce, kl"),
        ("experts=1", "with one expert, last (620) has to be embed (280)"),
        ("rate", "--set rate: expected NAME=VALUE"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, said):
    from kdasr.errors import UserError

    with pytest.raises(UserError, match=said.replace("(", r"\(").replace(")", r"\)")):
        read_settings(None, [change])


def test_settings_of_a_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("embed: 200\nweight_decay: 1e-6\nobjective: kl\n")
    settings = read_settings(path, ["embed=100"])
    assert (settings.embed, settings.weight_decay, settings.objective) == (100, 1e-6, "kl")
    assert trust(torch.tensor([0.0]), 1.0).item() > 13
