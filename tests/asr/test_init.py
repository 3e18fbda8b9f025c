"""`kdasr train --init`: what a student takes of another model, by name, by layer, and trained from there."""

import argparse
import logging
import re
import shutil

import pytest
import torch
import yaml
from tiny_training import TOKENS, train, write_place, write_tokens

from kdasr.asr.init import describe, layer_lists, match, matched, place
from kdasr.cli import main
from kdasr.files import read_json, write_json
from kdasr.networks.load import load_model, register

NETWORKS = {
    "own": {
        "encoder": "conv_rnn",
        "encoder_conf": {"hidden_size": 8, "conv_channels": 2},
        "decoder": "attention_gru",
        "decoder_conf": {"hidden_size": 8, "attention_size": 4},
    },
    "rnn": {
        "encoder": "vgg_rnn",
        "encoder_conf": {"hidden_size": 6, "output_size": 8, "num_layers": 2},
        "decoder": "rnn",
        "decoder_conf": {"hidden_size": 8, "att_conf": {"adim": 8, "aconv_chans": 3, "aconv_filts": 4}},
    },
    "conformer": {
        "encoder": "conformer",
        "encoder_conf": {"output_size": 8, "attention_heads": 2, "linear_units": 8},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 8},
    },
}
LISTS = {
    "own": {"encoder.layers": "num_layers", "decoder.cells": "num_layers"},
    "rnn": {"decoder.decoder": "num_layers"},
    "conformer": {"encoder.encoders": "num_blocks", "decoder.decoders": "num_blocks"},
}


def build(kind, layers, seed=0, **changes):
    """A network of NETWORKS with so many layers in each of its lists."""
    args = register().get_default_config() | NETWORKS[kind] | {"input_size": 20, "normalize": None, "specaug": None}
    args["token_list"] = ["<blank>", "<unk>", *"abcd", "<sos/eos>"]
    for prefix, option in LISTS[kind].items():
        part = prefix.partition(".")[0] + "_conf"
        args[part] = args[part] | {option: layers} | changes
    torch.manual_seed(seed)
    return register().build_model(argparse.Namespace(**args))


@pytest.mark.parametrize("n, m, spaced", [(2, 32, [0, 31]), (3, 6, [0, 3, 5]), (4, 12, [0, 4, 7, 11]), (1, 5, [0])])
def test_spaced_layers_keep_the_first_and_the_last(n, m, spaced):
    assert [place(i, n, m) for i in range(n)] == spaced


def test_as_many_layers_are_themselves_and_fewer_never_twice_the_same():
    for m in range(1, 40):
        assert [place(i, m, m) for i in range(m)] == list(range(m))
        for n in range(1, m):
            chosen = [place(i, n, m) for i in range(n)]
            assert sorted(set(chosen)) == chosen and chosen[-1] in (m - 1, 0)


@pytest.mark.parametrize("kind", NETWORKS)
def test_an_identical_network_takes_everything(kind):
    source, student = build(kind, 2, seed=1).state_dict(), build(kind, 2, seed=2).state_dict()
    copied, report = match(student, source)
    assert copied.keys() == student.keys() and report["not_copied"] == []
    assert all(torch.equal(copied[name], source[name]) for name in source)
    assert report["values"] == report["of_values"] == sum(one.numel() for one in source.values())


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_shallower_student_takes_layers_of_each_list(kind):
    chosen = [0, 2, 4]
    source, student = build(kind, 5, seed=1).state_dict(), build(kind, 3, seed=2).state_dict()
    copied, report = match(student, source)
    assert {prefix: of for prefix, of in report["lists"].items() if prefix in LISTS[kind]} == dict.fromkeys(
        LISTS[kind], chosen
    )
    # a decoder's first layer alone has another input size, in all of these
    assert report["not_copied"] == []
    for name, one in copied.items():
        prefix = next((prefix for prefix in LISTS[kind] if name.startswith(prefix + ".")), None)
        if prefix:
            index, rest = name[len(prefix) + 1 :].split(".", 1)
            assert torch.equal(one, source[f"{prefix}.{chosen[int(index)]}.{rest}"]), name
        else:
            assert torch.equal(one, source[name]), name


def test_what_has_another_shape_stays_new():
    source, student = build("own", 2, hidden_size=8), build("own", 2, hidden_size=6)
    copied, report = match(student.state_dict(), source.state_dict())
    # the convolutions and their norms, embeddings, and what else does not know the number of units
    assert {name.rsplit(".", 1)[0] for name in copied} >= {"encoder.convs.0", "encoder.norms.1", "decoder.embed"}
    assert "encoder.project.weight" in report["not_copied"]
    assert report["copied"] + len(report["not_copied"]) == report["of"]
    assert 0 < report["values"] < report["of_values"]


def test_convolution_stacks_and_sequentials_are_no_layers():
    def block():
        cells = torch.nn.ModuleList([torch.nn.GRUCell(2, 2), torch.nn.GRUCell(2, 2)])
        return torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "cells": cells})

    class Net(torch.nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.convs = torch.nn.ModuleList(torch.nn.Conv1d(2, 2, 3) for _ in range(layers))
            self.norms = torch.nn.ModuleList(torch.nn.BatchNorm1d(2) for _ in range(layers))
            self.stack = torch.nn.Sequential(*[torch.nn.Linear(2, 2), torch.nn.ReLU()] * layers)
            self.mixed = torch.nn.ModuleList([torch.nn.GRUCell(2, 2), torch.nn.LayerNorm(2)])
            self.blocks = torch.nn.ModuleList(block() for _ in range(layers))

    state = Net(3).state_dict()
    lists = layer_lists(state)
    assert lists == {"blocks": 3, **{f"blocks.{i}.cells": 2 for i in range(3)}}
    copied, _ = match(Net(2).state_dict(), state)
    assert torch.equal(copied["blocks.1.cells.1.weight_ih"], state["blocks.2.cells.1.weight_ih"])
    assert torch.equal(copied["convs.1.weight"], state["convs.1.weight"])


def test_statistics_of_features_are_the_students_own():
    state = {"normalize.mean": torch.zeros(3), "normalize.std": torch.ones(3), "a.weight": torch.ones(2)}
    copied, report = match(state, state)
    assert list(copied) == ["a.weight"] and report["not_copied"] == [] and report["of"] == 1


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A place with a trained `teacher` of four layers."""
    root = write_place(tmp_path_factory.mktemp("init"), max_epoch=1)
    deep = (root / "c.yaml").read_text().replace("num_layers: 2", "num_layers: 4")
    (root / "deep.yaml").write_text(deep)
    assert train(root, root / "teacher", "--config", root / "deep.yaml", "--role", "teacher") == 0
    return root


def frozen(root, out, *more):
    """Train with a learning rate of zero: what stands in the checkpoint is what training began with."""
    return train(root, out, *more, "--", "--optim_conf", "lr=0.0", "--optim_conf", "weight_decay=0.0")


def test_training_starts_from_the_teacher(root, tmp_path, capsys):
    out = tmp_path / "a student"  # a blank in the path
    assert frozen(root, out, "--init", root / "teacher") == 0
    teacher, student = load_model(root / "teacher")[0].state_dict(), load_model(out)[0].state_dict()
    for name, one in student.items():
        other = name.replace("encoder.layers.1.", "encoder.layers.3.")
        if not name.startswith(("normalize.", "encoder.norms.")):  # batch norms count batches
            assert torch.equal(one, teacher[other]), name
    report = read_json(out / "init.json")
    assert report["lists"] == {"encoder.layers": [0, 3], "decoder.cells": [0]}
    assert report["copied"] == report["of"] and report["not_copied"] == []
    shown = capsys.readouterr().out
    assert f"{root / 'teacher'}: {report['of']} of {report['of']} tensors taken, 100.0 % of the values" in shown
    assert "layers of encoder.layers: 0 3" in shown
    assert train(root, out) == 1
    assert "holds a model of other init" in capsys.readouterr().err


def test_a_pruned_model_is_trained_on_and_stays_pruned(root, tmp_path):
    pruned = tmp_path / "pruned"
    assert main(["prune", "--model", str(root / "teacher"), "--sparsity", "0.8", "--out", str(pruned)]) == 0
    more = ("--config", root / "deep.yaml", "--init", pruned, "--mask", pruned / "mask.pth")
    assert train(root, tmp_path / "out", *more) == 0
    before, after = (dict(load_model(place)[0].named_parameters()) for place in (pruned, tmp_path / "out"))
    mask = torch.load(pruned / "mask.pth", weights_only=True)
    for name, kept in mask.items():
        assert torch.count_nonzero(after[name][~kept]) == 0, name
    assert any(not torch.equal(after[name], before[name]) for name in mask)
    info = read_json(tmp_path / "out/kdasr.json")
    assert info["non_zero"] == sum(int(torch.count_nonzero(one)) for one in after.values()) < info["parameters"]
    assert "mask" in info["settings"]
    # dense weights, loaded under a mask, are pruned before the first step
    assert frozen(root, tmp_path / "dense", "--config", root / "deep.yaml", "--init", root / "teacher", *more[-2:]) == 0
    dense = dict(load_model(tmp_path / "dense")[0].named_parameters())
    assert all(torch.equal(dense[name], before[name]) for name in mask)


def test_what_starts_from_a_model_says_its_epochs(root, tmp_path, monkeypatch, capsys):
    """To look at that model, ESPnet builds it, and says so: Python's logging then is set up already, for warnings."""
    terminal = tmp_path / "terminal"
    terminal.touch()
    monkeypatch.setenv("KDASR_PROGRESS", str(terminal))
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    own = torch.save, torch.load
    assert train(root, tmp_path / "out", "--init", root / "teacher") == 0
    assert len(re.findall(r"INFO: \d+epoch results: \[train\]", capsys.readouterr().err)) == 1
    (line,) = terminal.read_text().splitlines()
    assert line.startswith(f"  {tmp_path / 'out'}: epoch 1 of 1, validation acc ")
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    assert (torch.save, torch.load) == own


def test_nothing_to_take_is_refused(root, tmp_path, capsys):
    """Other networks, and other tokens, or the outputs' biases would fit."""
    config = yaml.safe_load((root / "c.yaml").read_text())
    config |= {"encoder": "rnn", "encoder_conf": {}, "decoder": "rnn", "decoder_conf": {}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    other = write_tokens(tmp_path / "char", [*TOKENS[:-1], "D", TOKENS[-1]])
    shutil.copytree(root / "targets", tmp_path / "targets")
    write_json(tmp_path / "targets/targets.json", {"settings": {"tokens": other}, "summary": {}})
    more = ("--config", tmp_path / "c.yaml", "--tokens", tmp_path / "char", "--targets", tmp_path / "targets")
    assert train(root, tmp_path / "out", *more, "--init", root / "teacher") == 1
    assert "has no weights of the student's names and shapes" in capsys.readouterr().err
    assert not (tmp_path / "out/init.pth").exists()


def test_other_tokens_of_the_same_number_are_refused(root, tmp_path, capsys):
    other = write_tokens(tmp_path / "char", [*TOKENS[:3], "B", "A", "C", TOKENS[-1]])
    shutil.copytree(root / "targets", tmp_path / "targets")
    write_json(tmp_path / "targets/targets.json", {"settings": {"tokens": other}, "summary": {}})
    more = ("--tokens", tmp_path / "char", "--targets", tmp_path / "targets", "--init", root / "teacher")
    assert train(root, tmp_path / "out", *more) == 1
    assert "has as many tokens as the student, but others" in capsys.readouterr().err


def test_what_cannot_work_is_refused(root, tmp_path, capsys):
    assert train(root, tmp_path / "a:b", "--init", root / "teacher") == 1
    assert "an --out without colons" in capsys.readouterr().err
    assert train(root, tmp_path / "a", "--init", tmp_path) == 1
    assert "train the model first" in capsys.readouterr().err
    assert train(root, tmp_path / "a", "--mask", tmp_path / "mask.pth") == 1
    assert "kdasr prune" in capsys.readouterr().err


def test_halves_are_rounded_up_and_there_is_no_layer_beyond_the_last():
    assert [place(i, 3, 4) for i in range(3)] == [0, 2, 3]  # 1.5 is 2
    assert [place(i, 5, 3) for i in range(5)] == [0, 1, 1, 2, 2]
    assert matched(4, 4) == [0, 1, 2, 3]


def test_what_is_copied_is_the_students_own_and_of_its_shape():
    source = {
        "a.weight": torch.ones(2, 3),
        "b.weight": torch.ones(4),
        "c": torch.ones(1),
        "normalize.mean": torch.ones(1),
    }
    student = {"a.weight": torch.zeros(3, 2), "b.weight": torch.zeros(4), "d": torch.zeros(5)}
    copied, report = match(student, source)
    assert list(copied) == ["b.weight"] and copied["b.weight"].data_ptr() != source["b.weight"].data_ptr()
    copied["b.weight"].zero_()
    assert source["b.weight"].tolist() == [1.0] * 4
    assert report == {
        "copied": 1, "of": 3, "values": 4, "of_values": 15, "lists": {}, "not_copied": ["a.weight", "d"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ([], None),
        (list("abcde"), "  new: a, b, c, d, e"),
        (list("abcdef"), "  new: a, b, c, d, e and 1 more"),
        (list("abcdefgh"), "  new: a, b, c, d, e and 3 more"),
    ],
)
def test_a_report_in_words(left, said):
    report = {"copied": 2, "of": 9, "values": 1, "of_values": 3, "lists": {"x.layers": [0, 3]}, "not_copied": left}
    lines = describe("exp/t", report)
    assert lines[:2] == ["exp/t: 2 of 9 tensors taken, 33.3 % of the values", "  layers of x.layers: 0 3"]
    assert lines[2:] == ([said] if said else [])
