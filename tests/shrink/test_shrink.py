"""`kdasr shrink`: where nothing is lost nothing changes; budgets; and that what is written is an ordinary model."""

import argparse
import copy
from pathlib import Path

import kaldiio
import pytest
import search_models as models
import torch
import yaml

from kdasr.asr.init import match
from kdasr.cli import main
from kdasr.files import read_json, read_yaml, write_json
from kdasr.networks.load import load_model, register
from kdasr.networks.teachers import encode
from kdasr.search.perplexity import costs
from kdasr.shrink.axes import axes_of, places, sizes_of
from kdasr.shrink.shrink import smaller

REFERENCES = [[3, 4, 5], [6, 7]]
KINDS = ("kdasr", "transformer", "conformer", "e_branchformer")
DEEP = {
    "kdasr": {
        "encoder_conf": {"hidden_size": 12, "num_layers": 3, "conv_channels": 3},
        "decoder_conf": {"hidden_size": 10, "embed_size": 6, "attention_size": 8, "num_layers": 2},
    },
    "conformer": {
        "encoder_conf": {"output_size": 16, "attention_heads": 2, "linear_units": 20, "num_blocks": 4}
        | {"macaron_style": True},
        "decoder_conf": {"attention_heads": 4, "linear_units": 24, "num_blocks": 3},
    },
}


def write_model(directory, config, model):
    directory.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / "tokens").mkdir(exist_ok=True)
    (directory / "tokens" / "tokens.txt").write_text("".join(f"{token}\n" for token in models.TOKENS))
    (directory / "tokens" / "nlsyms.txt").touch()
    write_json(directory / "tokens" / "tokens.json", {"type": "char"})
    write_json(directory / "kdasr.json", {"label": "teacher", "role": "teacher", "seed": 3, "non_zero": 5})
    return model


def deep(kind):
    """A model with several layers of everything, and its config."""
    config = models.config(kind) | copy.deepcopy(DEEP[kind])
    return models.build(kind, changes=DEEP[kind]), config


def outputs(model, lengths=(60, 75)):
    """CTC logits, and what the decoder gives to references."""
    with torch.no_grad():
        encoded = [encode(model, x[None].clone(), torch.tensor([len(x)]))[0][0] for x in models.features(lengths)]
        return [*(model.ctc.ctc_lo(one) for one in encoded), costs(model, encoded, REFERENCES)]


def same(one, other):
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(one, other, strict=True))


def grown(model, config, hidden):
    """A network with two of each unit of which one is read: (model, config, its settings by name before).

    The second of an encoder's hidden units (if `hidden`) is written as the first, or layer norm would see another mean;
    those of others have no weights at all.
    """
    axes, state = axes_of(model, config), model.state_dict()
    sizes = sizes_of(axes, state)
    torch.manual_seed(5)
    alone = "" if hidden else "encoder_conf.hidden_size"
    twice = {
        group: torch.arange(size) if group == alone else torch.arange(size).repeat(2)[torch.randperm(2 * size)]
        for group, size in sizes.items()
    }
    for name, spans in axes.items():
        for axis, parts in spans.items():
            stay = places(parts, twice, sizes)
            state[name] = state[name].index_select(axis, stay)
            if (axis == 1 and name != "decoder.embed.weight") or not hidden:
                seen = set()
                for column, place in enumerate(stay.tolist()):
                    if place in seen:
                        state[name].select(axis, column).zero_()
                    seen.add(place)
    sizes = {group: size for group, size in sizes.items() if group != alone}
    settings = {group.partition(":")[0]: size for group, size in sizes.items()}
    large = {part: dict(value) if isinstance(value, dict) else value for part, value in config.items()}
    for setting, size in settings.items():
        part, name = setting.split(".")
        large[part][name] = 2 * size
    built = register().build_model(argparse.Namespace(**large)).eval()
    built.load_state_dict(state)
    return built, large, settings


def write_set(directory, count=4):
    """A transcribed set of features."""
    directory.mkdir()
    names = [f"u{number}" for number in range(count)]
    inputs = models.features([50 + 7 * number for number in range(count)])
    matrices = dict(zip(names, (x.numpy() for x in inputs), strict=True))
    kaldiio.save_ark(str(directory / "feats.ark"), matrices, scp=str(directory / "feats.scp"))
    (directory / "text").write_text("".join(f"{name} ab c\n" for name in names))
    return directory


def shrink(model, out, *more):
    return main(["shrink", *map(str, ["--model", model, "--out", out, *more])])


@pytest.mark.parametrize("audio", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_units_that_nobody_reads_leave_the_outputs_unchanged(kind, audio):
    model, config = deep(kind) if kind in DEEP else (models.build(kind), models.config(kind))
    large, wide, settings = grown(model, config, audio)
    assert same(outputs(large), outputs(model))
    heard = list(zip(models.features([60, 75]), REFERENCES, strict=True)) if audio else []
    left = smaller(large, wide, settings, heard)
    model.load_state_dict(left)
    assert same(outputs(large), outputs(model))


@pytest.mark.parametrize("audio", [False, True])
def test_full_rank_leaves_the_outputs_unchanged(audio):
    model, config = deep("kdasr")
    heard = [(x, [3, 4]) for x in models.features([60, 75])] if audio else []
    state = smaller(model, config, {"encoder_conf.project_rank": 6, "encoder_conf.input_rank": 12}, heard)
    # 3 channels x 2 bins are 6 inputs of the projection, 12 units those of a layer
    config["encoder_conf"] |= {"project_rank": 6, "input_rank": 12}
    low = register().build_model(argparse.Namespace(**config)).eval()
    low.load_state_dict(state)
    assert same(outputs(low), outputs(model))
    assert low.encoder.layers[2].reduce.weight.shape == (12, 12) and low.encoder.project[0].weight.shape == (6, 6)


@pytest.mark.parametrize(
    ("kind", "by", "share"),
    [
        *(("kdasr", "units", 0.2), ("kdasr", "units", 0.7), ("kdasr", "layers", 0.9), ("kdasr", "rank", 0.9)),
        *(("conformer", "units", 0.8), ("conformer", "layers", 0.6)),
    ],
)
def test_a_budget_is_kept_by_the_largest_network_of_its_kind(tmp_path, kind, by, share, capsys):
    model, config = deep(kind)
    write_model(tmp_path / "m", config, model)
    whole = sum(one.numel() for one in model.parameters())
    assert shrink(tmp_path / "m", tmp_path / "out", "--by", by, "--params", int(share * whole)) == 0
    small, args = load_model(tmp_path / "out")
    left = sum(one.numel() for one in small.parameters())
    assert left <= int(share * whole) and read_json(tmp_path / "out/kdasr.json")["parameters"] == left
    assert f"{left:,} of {whole:,} parameters" in capsys.readouterr().out
    assert all(torch.isfinite(one).all() for one in outputs(small))
    # one more of what was capped, and it is too large
    sizes = read_json(tmp_path / "out/kdasr.json")["sizes"]
    cap = max(size for size in sizes.values())
    grown_config = vars(args)
    before = {name: config[name.split(".")[0]].get(name.split(".")[1], 0) for name in sizes}
    for name, size in sizes.items():
        part, key = name.split(".")
        if size == cap or by == "rank":
            grown_config[part] = {**grown_config[part], key: min(size + 1, before[name] or size + 1)}
    larger = register().build_model(argparse.Namespace(**grown_config))
    assert sum(one.numel() for one in larger.parameters()) > int(share * whole)


@pytest.mark.parametrize("kind", ["conformer", "transformer"])
def test_stock_networks_load_in_stock_espnet_with_equal_outputs(tmp_path, kind):
    model, config = deep(kind) if kind in DEEP else (models.build(kind), models.config(kind))
    write_model(tmp_path / "m", config, model)
    budget = int(0.9 * sum(one.numel() for one in model.parameters()))
    assert shrink(tmp_path / "m", tmp_path / "out", "--params", budget) == 0
    stock, args = register().build_model_from_file(tmp_path / "out/config.yaml", tmp_path / "out/valid.acc.ave.pth")
    assert same(outputs(stock.eval()), outputs(load_model(tmp_path / "out")[0]))
    written = read_yaml(tmp_path / "out/config.yaml")
    assert {key for key, value in read_yaml(tmp_path / "m/config.yaml").items() if written[key] != value} == {
        "encoder_conf", "decoder_conf"
    }  # fmt: skip
    assert args.encoder_conf.keys() == config["encoder_conf"].keys()  # smaller numbers, and nothing new


def test_layers_are_spaced_and_kept_as_they_are(tmp_path):
    model, config = deep("conformer")
    write_model(tmp_path / "m", config, model)
    wanted = {"encoder_conf": config["encoder_conf"] | {"num_blocks": 2}, "decoder_conf": config["decoder_conf"]}
    (tmp_path / "like.yaml").write_text(yaml.safe_dump({"encoder": "conformer", "decoder": "transformer"} | wanted))
    assert shrink(tmp_path / "m", tmp_path / "out", "--like", tmp_path / "like.yaml") == 0
    small = load_model(tmp_path / "out")[0]
    for mine, theirs in ((0, 0), (1, 3)):
        pairs = zip(small.encoder.encoders[mine].parameters(), model.encoder.encoders[theirs].parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    assert all(
        torch.equal(one, other)
        for one, other in zip(small.decoder.parameters(), model.decoder.parameters(), strict=True)
    )


def test_like_takes_units_layers_and_ranks_and_a_student_starts_from_it(tmp_path):
    model, config = deep("kdasr")
    write_model(tmp_path / "m", config, model)
    small = {"hidden_size": 7, "num_layers": 2, "conv_channels": 2, "project_rank": 2, "input_rank": 3}
    student = {
        "encoder": "conv_rnn",
        "encoder_conf": small | {"dropout_rate": 0.4},
        "decoder": "attention_gru",
        "decoder_conf": {"hidden_size": 5, "embed_size": 6, "attention_size": 4, "num_layers": 2},
        "optim": "adam",
    }
    (tmp_path / "student.yaml").write_text(yaml.safe_dump(student))
    data = write_set(tmp_path / "set")
    words = ("--like", tmp_path / "student.yaml", "--data", data, "--train_config", tmp_path / "student.yaml")
    assert shrink(tmp_path / "m", tmp_path / "out", *words) == 0
    again = read_yaml(tmp_path / "out/train.yaml")
    assert again["encoder_conf"] == small | {"dropout_rate": 0.4} and again["optim"] == "adam"
    options = (
        register().get_default_config()
        | {"input_size": 8, "normalize": None, "specaug": None}
        | again
        | {"token_list": models.TOKENS}
    )
    fresh = register().build_model(argparse.Namespace(**options))
    report = match(fresh.state_dict(), load_model(tmp_path / "out")[0].state_dict())[1]
    assert report["not_copied"] == [] and report["values"] == report["of_values"]


def test_energy_keeps_what_a_map_of_low_rank_carries(tmp_path):
    model, config = deep("kdasr")
    with torch.no_grad():  # of rank two, that of one layer three, but for a thousandth
        for layer, rank in zip(model.encoder.layers, (2, 3, 2), strict=True):
            for weight in (layer.ahead.weight_ih_l0, layer.back.weight_ih_l0):
                weight[:, rank:] *= 1e-3
    write_model(tmp_path / "m", config, model)
    assert shrink(tmp_path / "m", tmp_path / "out", "--by", "rank", "--energy", 0.999) == 0
    sizes = read_json(tmp_path / "out/kdasr.json")["sizes"]
    assert sizes == {"encoder_conf.input_rank": 3}  # the projection's map of that energy would be no smaller
    assert same(outputs(load_model(tmp_path / "out")[0]), outputs(model)) is False  # a thousandth is gone
    for one, other in zip(outputs(load_model(tmp_path / "out")[0]), outputs(model), strict=True):
        assert torch.allclose(one, other, rtol=0.05, atol=0.5)


def test_the_record_and_a_rerun(tmp_path, capsys):
    model, config = deep("kdasr")
    write_model(tmp_path / "m", config, model)
    assert shrink(tmp_path / "m", tmp_path / "out", "--params", "2k") == 0
    record = read_json(tmp_path / "out/kdasr.json")
    assert record["label"] == f"teacher, shrunk to {record['parameters']:,} parameters"
    assert (record["role"], record["teacher"], record["seed"]) == ("student", "m", 3) and "non_zero" not in record
    assert (tmp_path / "out/tokens/tokens.txt").read_bytes() == (tmp_path / "m/tokens/tokens.txt").read_bytes()
    capsys.readouterr()
    assert shrink(tmp_path / "m", tmp_path / "out", "--params", "2k") == 0
    assert "made already" in capsys.readouterr().out
    assert shrink(tmp_path / "m", tmp_path / "out", "--params", "2001") == 1
    assert "other settings made it" in capsys.readouterr().err
    assert shrink(tmp_path / "m", tmp_path / "m", "--params", "2k") == 1
    assert "holds another model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"), [("--by", "rank"), ("--data", "set"), ("--utterances", "1"), ("--params", "5000")]
)
def test_every_option_is_used_and_part_of_what_a_model_depends_on(tmp_path, option, value, capsys):
    model, config = deep("kdasr")
    write_model(tmp_path / "m", config, model)
    data = write_set(tmp_path / "set")
    usual = {"--params": "9000", "--by": "units"} | ({"--data": data} if option == "--utterances" else {})
    words = [word for pair in usual.items() for word in pair]
    changed = usual | {option: data if value == "set" else value}
    assert shrink(tmp_path / "m", tmp_path / "out", *words) == 0
    assert shrink(tmp_path / "m", tmp_path / "out", *(word for pair in changed.items() for word in pair)) == 1
    assert "other settings made it" in capsys.readouterr().err
    assert shrink(tmp_path / "m", tmp_path / "other", *(word for pair in changed.items() for word in pair)) == 0
    one, other = (load_model(tmp_path / name)[0].state_dict() for name in ("out", "other"))
    assert any(name not in other or not torch.equal(one[name], other[name]) for name in one)


CASES = {
    "too large": ("kdasr", ["--params", "10M"], "--params 10,000,000: the model has "),
    "too small": ("kdasr", ["--params", "10"], "--params 10: with as few units as possible "),
    "too few layers": ("kdasr", ["--params", "1k", "--by", "layers"], "take others away, too (--by units or --by rank"),
    "no rank": ("conformer", ["--params", "1k", "--by", "rank"], "encoder conformer has no setting for a rank"),
    "stock rnn": ("dot", ["--params", "1k"], "encoder 'rnn': which of its weights belong together is not known"),
    "all energy": (
        "kdasr",
        ["--by", "rank", "--energy", "1"],
        "--energy 1: no map of as low a rank as that is smaller",
    ),
    "no number": ("kdasr", ["--params", "many"], "--params many: expected a number of parameters"),
    "no file": ("kdasr", ["--like", "gone.yaml"], "gone.yaml: no such file; --like names it"),
    "no set": ("kdasr", ["--params", "2k", "--data", "gone"], "gone/text: no such file; --data names it"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_is_refused_and_nothing_is_written(tmp_path, case, capsys):
    kind, words, said = CASES[case]
    model, config = deep(kind) if kind in DEEP else (models.build(kind), models.config(kind))
    write_model(tmp_path / "m", config, model)
    assert shrink(tmp_path / "m", tmp_path / "out", *words) == 1
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 13}, "encoder_conf has hidden_size 13, the model 12; name a network that is no larger"),
        ({"hidden_size": 0}, "encoder_conf has hidden_size 0"),
        ({"num_layers": "2"}, "encoder_conf has num_layers 2"),
        ({"input_rank": -1}, "encoder_conf has input_rank -1"),
        ({"rnn_type": "gru"}, "encoder_conf has rnn_type gru, the model lstm, and no weights can be taken over"),
        ({"dropout_rate": 0.5}, "has the model's own sizes; name the configuration of a smaller network"),
    ],
)
def test_a_configuration_that_it_cannot_be_like(tmp_path, changes, said, capsys):
    model, config = deep("kdasr")
    write_model(tmp_path / "m", config, model)
    other = {key: config[key] for key in ("encoder", "decoder", "encoder_conf", "decoder_conf")}
    other["encoder_conf"] = other["encoder_conf"] | changes
    (tmp_path / "like.yaml").write_text(yaml.safe_dump(other))
    assert shrink(tmp_path / "m", tmp_path / "out", "--like", tmp_path / "like.yaml") == 1
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()
    (tmp_path / "like.yaml").write_text(yaml.safe_dump(other | {"decoder": "rnn"}))
    assert shrink(tmp_path / "m", tmp_path / "out", "--like", tmp_path / "like.yaml") == 1
    assert "decoder is rnn, the model's is attention_gru" in capsys.readouterr().err


def test_damage_is_named(tmp_path, capsys):
    model, config = deep("kdasr")
    with torch.no_grad():
        model.decoder.embed.weight[1, 1] = float("nan")
    write_model(tmp_path / "m", config, model)
    assert shrink(tmp_path / "m", tmp_path / "out", "--params", "2k") == 1
    assert "decoder.embed.weight holds values that are not numbers" in capsys.readouterr().err


def test_a_network_of_low_rank_loses_units_but_is_not_factorised_again(tmp_path, capsys):
    model, config = deep("kdasr")
    write_model(tmp_path / "m", config, model)
    assert shrink(tmp_path / "m", tmp_path / "low", "--by", "rank", "--energy", 0.5) == 0
    assert shrink(tmp_path / "low", tmp_path / "out", "--by", "rank", "--energy", 0.4) == 1
    assert "is of low rank already" in capsys.readouterr().err
    budget = int(0.6 * read_json(tmp_path / "low/kdasr.json")["parameters"])
    data = write_set(tmp_path / "set")
    assert shrink(tmp_path / "low", tmp_path / "out", "--params", budget, "--data", data) == 0
    assert read_json(tmp_path / "out/kdasr.json")["parameters"] <= budget
    assert all(torch.isfinite(one).all() for one in outputs(load_model(Path(tmp_path / "out"))[0]))
