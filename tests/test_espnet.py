"""The one module that knows ESPnet: names in both generations, stand-ins, strict loading."""

import argparse
import ast
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

import kdasr.espnet
from kdasr.errors import UserError
from kdasr.espnet import OPTIONAL, name, places
from kdasr.networks.load import LARGEST, build, check_weights

ROOT = Path(__file__).parents[1]


def imported_names() -> set[tuple[str, str]]:
    """Every (module, attribute) of ESPnet that the package imports or asks `name()` for."""
    found = set()
    for file in (ROOT / "kdasr").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("espnet"):
                found |= {(node.module, alias.name) for alias in node.names}
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "name"
                and isinstance(node.args[0], ast.Constant)
            ):
                module, _, attribute = str(node.args[0].value).partition(":")
                if module.startswith("espnet"):
                    found.add((module, attribute))
    return found


def test_names_exist_in_the_installed_espnet():
    names = imported_names()
    assert len(names) > 8
    for module, attribute in names:
        assert name(f"{module}:{attribute}") is not None


@pytest.mark.recipe
def test_names_exist_in_espnet_202611(tmp_path):
    """ESPnet for Python 3.12: its wheel is read, not installed (it does not support this Python)."""
    fetched = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--ignore-requires-python",
            "--quiet",
            "-d",
            str(tmp_path),
            "espnet==202611",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(tmp_path.glob("espnet-*.whl"))
    if not wheels:
        pytest.skip(f"espnet 202611 cannot be fetched here: {fetched.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        files = set(wheel.namelist())
        for module, attribute in sorted(imported_names()):
            sources = [
                path
                for place in places(module)
                for path in (place.replace(".", "/") + ".py", place.replace(".", "/") + "/__init__.py")
                if path in files
            ]
            assert sources, f"{module} is in neither place"
            tree = ast.parse(wheel.read(sources[0]))
            defined = {getattr(node, "name", None) for node in ast.walk(tree)}
            defined |= {
                target.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            assert attribute in defined, f"{sources[0]} has no {attribute}"


def test_stand_ins_say_what_is_missing():
    absent = [
        package
        for package in OPTIONAL
        if package == "torchaudio" or not __import__("importlib.util").util.find_spec(package)
    ]
    assert absent
    import torchaudio.transforms

    with pytest.raises(UserError, match="pip install torchaudio"):
        torchaudio.transforms.MelSpectrogram()


def test_weights_must_match():
    import torch

    model = torch.nn.Linear(2, 3)
    good = model.state_dict()
    check_weights(model, good, "x.pth")
    with pytest.raises(UserError, match=r"x\.pth: lacks bias"):
        check_weights(model, {"weight": good["weight"]}, "x.pth")
    with pytest.raises(UserError, match="unknown more"):
        check_weights(model, {**good, "more": good["bias"]}, "x.pth")
    with pytest.raises(UserError, match="another shape of bias"):
        check_weights(model, {**good, "bias": torch.zeros(4)}, "x.pth")


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="train the model first"):
        kdasr.networks.load.load_model(tmp_path)


def test_places_of_both_generations():
    assert places("espnet.nets.beam_search") == ["espnet.nets.beam_search", "espnet2.legacy.nets.beam_search"]
    assert places("espnet.utils.io") == ["espnet.utils.io", "espnet2.legacy.utils.io"]
    assert places("espnet2.asr.ctc") == ["espnet2.asr.ctc"]
    assert places("espnet.nets.espnet.nets") == ["espnet.nets.espnet.nets", "espnet2.legacy.nets.espnet.nets"]


def task(build):
    return types.SimpleNamespace(build_model=build)


def test_numbers_of_networks_have_a_limit():
    """Those of networks alone, however deep, of either sign; what trains them may be any."""
    good = {
        "input_size": LARGEST,
        "encoder_conf": {"hidden_size": -LARGEST, "deep": {"units": LARGEST}, "rate": 1e30},
        "optim_conf": {"steps": LARGEST + 1},
        "wandb_conf": {"steps": LARGEST + 1},
        "batch_bins": LARGEST + 1,
        "extra": {"units": LARGEST + 1},
    }
    assert build(task(lambda args: args.input_size), argparse.Namespace(**good), "x.yaml") == LARGEST
    for change, said in [
        ({"input_size": LARGEST + 1}, "input_size is 16777217"),
        ({"encoder_conf": {"hidden_size": -LARGEST - 1}}, "encoder_conf.hidden_size is -16777217"),
        ({"decoder_conf": {"att": {"deep": {"units": LARGEST + 1}}}}, "decoder_conf.att.deep.units is 16777217"),
    ]:
        with pytest.raises(UserError, match=rf"x\.yaml: {said}, which is larger than in any network"):
            build(task(lambda args: 1 / 0), argparse.Namespace(**{**good, **change}), "x.yaml")


def test_what_espnet_raises_is_told_in_one_line():
    def fails(args):
        raise KeyError("a\nb " + 300 * "c")

    with pytest.raises(
        UserError, match=r"^x: no network can be built of it \(KeyError: .*c{150}c*\); correct"
    ) as caught:
        build(task(fails), argparse.Namespace(), "x")
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)

    def said(args):
        raise UserError("in words")

    with pytest.raises(UserError, match=r"^in words$"):
        build(task(said), argparse.Namespace(), "x")


def write_model(directory, **changes):
    """A model directory of an encoder and a decoder of a few units; what was saved."""
    import torch
    import yaml

    config = kdasr.networks.load.register().get_default_config()
    config.update(
        encoder="rnn",
        encoder_conf={"hidden_size": 3, "output_size": 3, "num_layers": 1},
        decoder="rnn",
        decoder_conf={"hidden_size": 3},
        token_list=["<blank>", "a", "<sos/eos>"],
        token_type="char",
        input_size=4,
        specaug=None,
        **{"normalize": None, **changes},
    )
    directory.mkdir(exist_ok=True)
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(3)
    model = kdasr.networks.load.register().build_model(argparse.Namespace(**config))
    torch.save(model.state_dict(), directory / "valid.acc.best.pth")
    return model.state_dict()


def test_a_loaded_model_decodes_and_draws_nobodys_random_numbers(tmp_path):
    import torch

    weights = write_model(tmp_path)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    model, args = kdasr.networks.load.load_model(tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert not any(module.training for module in model.modules()) and args.input_size == 4
    loaded = model.state_dict()
    assert loaded.keys() == weights.keys() and all(torch.equal(loaded[key], weights[key]) for key in weights)


def test_statistics_of_a_model_that_was_moved(tmp_path):
    import numpy as np

    old, model = tmp_path / "stats.npz", tmp_path / "model"
    np.savez(old, count=np.int64(2), sum=np.full(4, 6.0), sum_square=np.full(4, 26.0))
    write_model(model, normalize="global_mvn", normalize_conf={"stats_file": str(old)})
    assert kdasr.networks.load.load_model(model)[0].normalize.mean.tolist() == [3.0] * 4
    old.rename(model / "other.npz")
    with pytest.raises(UserError, match=r"its normalize_conf names .*/stats.npz, which is gone"):
        kdasr.networks.load.load_model(model)
    (model / "other.npz").rename(model / "stats.npz")
    _, args = kdasr.networks.load.load_model(model)
    assert args.normalize_conf["stats_file"] == str(model / "stats.npz")


def test_our_networks_are_espnets_choices():
    asr, lm = kdasr.networks.load.register(), kdasr.networks.load.register_lm()
    import espnet2.tasks.asr
    import espnet2.tasks.lm

    from kdasr.networks import awd, decoder, encoder, munim2018

    assert (asr, lm) == (espnet2.tasks.asr.ASRTask, espnet2.tasks.lm.LMTask)
    for choices, given, kind in [
        (espnet2.tasks.asr.encoder_choices, "conv_rnn", encoder.ConvRNNEncoder),
        (espnet2.tasks.asr.encoder_choices, "munim_rnn", munim2018.MunimEncoder),
        (espnet2.tasks.asr.decoder_choices, "attention_gru", decoder.AttentionDecoder),
        (espnet2.tasks.asr.decoder_choices, "munim_gru", munim2018.MunimDecoder),
        (espnet2.tasks.lm.lm_choices, "awd_lstm", awd.AwdLstm),
    ]:
        assert choices.get_class(given) is kind


def test_weights_that_do_not_match_are_counted():
    import torch

    weight = torch.zeros(2, 3)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2))
    for weights, said in [
        ({"0.weight": weight}, r"lacks 0.bias \(and 2 more\)"),
        ({**model.state_dict(), "b": weight, "a": weight}, r"has unknown a \(and 1 more\)"),
        ({**model.state_dict(), "1.weight": torch.zeros(3, 2)}, r"has another shape of 1.weight \(and 0 more\)"),
    ]:
        with pytest.raises(UserError, match=said):
            check_weights(model, weights, "x.pth")
