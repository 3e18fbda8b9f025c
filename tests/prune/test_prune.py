"""`kdasr prune`: which weights go, by hand; and that what is written decodes, here and in stock ESPnet."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))
import search_models as models
import yaml

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.espnet import load_model, register
from kdasr.files import read_json, write_json
from kdasr.prune.mask import non_zero, prunable, read_mask
from kdasr.prune.prune import SCHEMES, choose

# a: standard deviation 1 (of +-1 about 0), b: 10 times as large and as spread, 4 and 6 weights
A = torch.tensor([[0.9, -1.1], [1.0, -1.0]])
B = torch.tensor([[8.0, -12.0, 10.0], [-10.0, 9.0, -11.0]])


def kept(weights, sparsity, scheme):
    return {name: mask.int().tolist() for name, mask in choose(weights, sparsity, scheme).items()}


def test_blind_prunes_the_smallest_of_all():
    assert kept({"a": A, "b": B}, 0.5, "blind") == {"a": [[0, 0], [0, 0]], "b": [[0, 1, 1], [1, 1, 1]]}


def test_uniform_prunes_the_same_share_of_each():
    assert kept({"a": A, "b": B}, 0.5, "uniform") == {"a": [[0, 1], [0, 1]], "b": [[0, 1, 0], [1, 0, 1]]}


def test_distribution_prunes_by_standard_deviations():
    # sigma is 1.0025 and 10.067, |w| / sigma nearly 0.9 1.1 1 1 and 0.8 1.2 1 1 0.9 1.1: b's 8, b's 9, then a's .9
    assert kept({"a": A, "b": B}, 0.3, "distribution") == {"a": [[0, 1], [1, 1]], "b": [[0, 1, 1], [1, 0, 1]]}
    threshold = max(float(A.abs()[0, 0] / A.std(correction=0)), float(B.abs()[1, 1] / B.std(correction=0)))
    assert all(
        bool(((w.abs() / w.std(correction=0) > threshold) == choose({"a": A, "b": B}, 0.3, "distribution")[name]).all())
        for name, w in (("a", A), ("b", B))
    )


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 1 / 3, 0.8, 0.99])
def test_exactly_the_share_is_pruned_of_equal_magnitudes_too(scheme, sparsity):
    torch.manual_seed(3)
    weights = {
        "equal": torch.ones(7, 5) * torch.randn(7, 5).sign(),
        "zeros": torch.zeros(3, 3),
        "constant": torch.full((2, 2, 2), 0.5),
        "some": torch.randint(-2, 3, (5, 11)).float(),
        "one": torch.ones(1, 1),
    }
    mask = choose(weights, sparsity, scheme)
    sizes = {name: weight.numel() for name, weight in weights.items()}
    pruned = {name: int((~mask[name]).sum()) for name in weights}
    assert sum(pruned.values()) == round(sparsity * sum(sizes.values()))
    assert {name: one.shape for name, one in mask.items()} == {name: one.shape for name, one in weights.items()}
    if scheme == "uniform":
        assert all(abs(pruned[name] - sparsity * size) <= 1 for name, size in sizes.items())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_small_parameters_are_spared_and_the_share_is_that_of_all(scheme):
    """Ten weights of 1010 are less than a hundredth: whole, though they are the smallest; 505 others are pruned."""
    large = torch.randn(40, 25, generator=torch.Generator().manual_seed(1))
    weights = {"small": torch.full((1, 10), 1e-6), "large": large}
    mask = choose(weights, 0.5, scheme, spare=0.01)
    assert mask["small"].all() and int((~mask["large"]).sum()) == 505
    assert list(mask) == list(weights)
    assert torch.equal(mask["large"], large.abs() > large.abs().flatten().sort().values[504])
    with pytest.raises(UserError, match="leaves 1,000 weights of 1,010 to prune 1,005 of; spare less"):
        choose(weights, 0.995, scheme, spare=0.01)


def test_ties_go_by_position():
    mask = choose({"a": torch.ones(2, 2), "b": -torch.ones(1, 3)}, 4 / 7, "blind")
    assert mask["a"].int().tolist() == [[0, 0], [0, 0]] and mask["b"].int().tolist() == [[1, 1, 1]]


def write_model(directory, kind="kdasr"):
    directory.mkdir(parents=True)
    model = models.build(kind)
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump(models.config(kind)))
    (directory / "tokens").mkdir()
    (directory / "tokens" / "tokens.txt").write_text("".join(f"{token}\n" for token in models.TOKENS))
    write_json(directory / "kdasr.json", {"label": "student on 5-best", "role": "student", "teacher": "T", "seed": 3})
    return model


def prune(model, out, *more):
    words = ["--model", model, "--out", out, "--sparsity", 0.8, *more]
    return main(["prune", *map(str, words)])


@pytest.mark.parametrize("kind", ["kdasr", "location_lstm", "transformer"])
def test_a_model_is_pruned_and_loads_in_stock_espnet(tmp_path, kind, capsys):
    dense = write_model(tmp_path / "m", kind)
    assert prune(tmp_path / "m", tmp_path / "out") == 0
    weights, mask = prunable(dense), read_mask(tmp_path / "out/mask.pth")
    assert mask.keys() == weights.keys() and not any("bias" in name for name in mask)
    total = sum(weight.numel() for weight in weights.values())
    assert sum(int((~one).sum()) for one in mask.values()) == round(0.8 * total)
    model, _ = load_model(tmp_path / "out")
    for (name, one), other in zip(dense.named_parameters(), model.parameters(), strict=True):
        assert torch.equal(one * mask[name] if name in mask else one, other), name
    info = read_json(tmp_path / "out/kdasr.json")
    assert info["parameters"] == sum(one.numel() for one in dense.parameters())
    assert info["non_zero"] == non_zero(model)
    assert [info[key] for key in ("sparsity", "scheme", "role", "teacher", "seed", "label")] == [
        0.8, "blind", "student", "T", 3, "student on 5-best, pruned 80 %",
    ]  # fmt: skip
    assert (tmp_path / "out/tokens/tokens.txt").read_bytes() == (tmp_path / "m/tokens/tokens.txt").read_bytes()
    stock, _ = register().build_model_from_file(tmp_path / "out/config.yaml", tmp_path / "out/valid.acc.ave.pth")
    assert all(torch.equal(one, other) for one, other in zip(stock.parameters(), model.parameters(), strict=True))
    note, *shown = capsys.readouterr().out.splitlines()
    assert note.startswith(f"{tmp_path}/m/valid.acc.ave.pth: no checksum is known of it")
    assert shown[0].split() == ["parameter", "weights", "kept"] and len(shown) == len(mask) + 3
    assert f"{info['non_zero']:,} of {info['parameters']:,} parameters are not zero" in shown[-2]


def test_statistics_are_copied_and_found(tmp_path):
    import numpy as np

    write_model(tmp_path / "m")
    np.savez(tmp_path / "m/cmvn.npz", count=2, sum=np.zeros(8, "f"), sum_square=np.full(8, 2.0, "f"))
    config = models.config("kdasr") | {"normalize": "global_mvn", "normalize_conf": {"stats_file": "gone/cmvn.npz"}}
    (tmp_path / "m/config.yaml").write_text(yaml.safe_dump(config))
    weights = torch.load(tmp_path / "m/valid.acc.ave.pth", weights_only=True)
    torch.save(
        weights | {"normalize.mean": torch.zeros(8), "normalize.std": torch.ones(8)}, tmp_path / "m/valid.acc.ave.pth"
    )
    assert prune(tmp_path / "m", tmp_path / "out") == 0
    assert load_model(tmp_path / "out")[0].normalize.std.tolist() == [1.0] * 8


def test_a_rerun_says_so_and_other_settings_are_refused(tmp_path, capsys):
    write_model(tmp_path / "m")
    assert prune(tmp_path / "m", tmp_path / "out") == 0
    before = (tmp_path / "out/kdasr.json").stat().st_mtime_ns
    capsys.readouterr()
    assert prune(tmp_path / "m", tmp_path / "out") == 0
    assert "pruned already" in capsys.readouterr().out
    assert prune(tmp_path / "m", tmp_path / "out", "--scheme", "uniform") == 1
    assert "other settings made it" in capsys.readouterr().err
    assert prune(tmp_path / "m", tmp_path / "m") == 1
    assert "holds another model" in capsys.readouterr().err
    assert (tmp_path / "out/kdasr.json").stat().st_mtime_ns == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    assert prune(tmp_path / "m", tmp_path / "other") == 1
    assert "holds something else" in capsys.readouterr().err


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    write_model(tmp_path / "m")

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kdasr.prune.prune.copy_rest", dies)
    assert prune(tmp_path / "m", tmp_path / "out") == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "m"]


@pytest.mark.parametrize("sparsity", ["1", "-0.1", "80", "nan"])
def test_a_share_out_of_range_is_refused(tmp_path, sparsity, capsys):
    write_model(tmp_path / "m")
    assert main(["prune", "--model", str(tmp_path / "m"), "--out", str(tmp_path / "o"), "--sparsity", sparsity]) == 1
    assert "expected a share from 0 to below 1" in capsys.readouterr().err


def test_weights_that_are_no_numbers_are_named(tmp_path, capsys):
    model = write_model(tmp_path / "m")
    with torch.no_grad():
        model.decoder.embed.weight[1, 1] = float("nan")
    torch.save(model.state_dict(), tmp_path / "m/valid.acc.ave.pth")
    assert prune(tmp_path / "m", tmp_path / "out") == 1
    assert "decoder.embed.weight holds values that are not numbers" in capsys.readouterr().err
