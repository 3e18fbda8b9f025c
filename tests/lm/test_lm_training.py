"""Training, perplexity, stored targets and dynamic evaluation of small language models."""

import json
import math

import numpy as np
import pytest
import torch

from kdasr.cli import main
from kdasr.lm import trainer
from kdasr.lm.awd import AwdLstm
from kdasr.lm.dynamic import dynamic_perplexity, mean_squares
from kdasr.lm.model import load
from kdasr.lm.perplexity import perplexity
from kdasr.lm.piece import OnlineTeachers, backward
from kdasr.lm.settings import LmSettings, read_settings
from kdasr.lm.soft import StoredTeacher, storage, store
from kdasr.lm.text import streams
from kdasr.losses import OBJECTIVES
from kdasr.losses.trust import trust

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
        dropout = ["drop_embed=0.1", "drop_hidden=0.2"]
        assert lm_train(corpus, tmp_path / f"whole_{name}", *teachers, settings=dropout) == 0
        plain, calls = trainer.Loop.piece, []
        for limit in (3, 25, 40):  # in the first epoch, of some 17 pieces; in the second; in the fourth

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
        (["--teachers", str(corpus / "teacher1"), "--soft", "x"], "the one or the other"),
        (["--teachers", str(tmp_path / "none")], "none/valid.loss.best.pth: no such file; train a"),
    ):  # fmt: skip
        assert lm_train(corpus, tmp_path / "out", *words) == 1
        assert said in capsys.readouterr().err
    assert lm_train(corpus, corpus / "teacher1", settings=["rate=3"]) == 1
    assert "was begun with another settings" in capsys.readouterr().err
    assert lm_train(corpus, tmp_path / "wild", settings=["rate=1e30", "clip=1e30"]) == 1
    assert "the loss is" in capsys.readouterr().err


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
