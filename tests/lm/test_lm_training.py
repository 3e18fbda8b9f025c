"""Training of small language models, from the command line."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from lm_world import SET, lm_train, weights

from kdasr.cli import main
from kdasr.data.tokens import Tokens
from kdasr.lm import trainer
from kdasr.lm.model import load, save_config
from kdasr.lm.settings import LmSettings
from kdasr.lm.text import Words
from kdasr.networks.awd import AwdLstm


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
