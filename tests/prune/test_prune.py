"""`kdasr prune`: which weights go, by hand; and that what is written decodes, here and in stock ESPnet."""

import statistics
from itertools import pairwise

import pytest
import search_models as models
import torch
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from kdasr import checkpoints
from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.files import read_json, write_json
from kdasr.networks.load import load_model, register
from kdasr.prune.mask import non_zero, prunable, read_mask
from kdasr.prune.prune import choose, describe, table
from kdasr.prune.settings import SCHEMES, Pruning

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


def written_out(weights, sparsity, scheme):
    """Which of lists of numbers are kept: each list ranked by itself, or all of them; the first of equals go first."""
    total = sum(map(len, weights))
    if scheme == "uniform":
        kept, before = [], 0
        for values in weights:
            pruned = round(sparsity * (before + len(values))) - round(sparsity * before)
            order = sorted(range(len(values)), key=lambda i, values=values: abs(values[i]))
            kept.append([i not in order[:pruned] for i in range(len(values))])
            before += len(values)
        return kept
    ranks = []
    for number, values in enumerate(weights):
        sigma = statistics.pstdev(values) if scheme == "distribution" else 1.0
        for i, value in enumerate(values):
            ranks.append((abs(value) / sigma if sigma else float("inf") if value else 0.0, number, i))
    gone = {(number, i) for _, number, i in sorted(ranks)[: round(sparsity * total)]}
    return [[(number, i) not in gone for i in range(len(values))] for number, values in enumerate(weights)]


def near_ties(weights):
    """Whether two classes have equal deviations but for rounding, which then decides who goes first."""
    deviations = [statistics.pstdev(values) for values in weights if statistics.pstdev(values)]
    scaled = sorted(value / deviation for deviation in deviations for value in (1.0, 2.0, 4.0))
    return any(0 <= after - before < 1e-9 * after for before, after in pairwise(scaled))


@pytest.mark.parametrize("scheme", SCHEMES)
@given(
    st.lists(
        st.lists(st.sampled_from([-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0]), min_size=1, max_size=8),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.2, 0.25, 0.5]),
)
def test_every_scheme_is_its_rule(scheme, values, twentieths, spare):
    """Signs, ties, zeros, classes of one value and spared ones."""
    if scheme == "distribution":
        assume(not near_ties(values))
    sparsity, total = twentieths / 20, sum(map(len, values))
    weights = {f"w{number}": torch.tensor(one)[None] for number, one in enumerate(values)}
    large = [len(one) >= spare * total for one in values]
    pruned, there = (
        round(sparsity * total),
        sum(len(one) for one, is_large in zip(values, large, strict=True) if is_large),
    )
    if pruned > there:
        with pytest.raises(
            UserError, match=f"leaves {there:,} weights of {total:,} to prune {pruned:,} of; spare less"
        ):
            choose(weights, sparsity, scheme, spare)
        return
    found = choose(weights, sparsity, scheme, spare)
    assert list(found) == list(weights) and sum(int((~one).sum()) for one in found.values()) == pruned
    kept = iter(
        written_out(
            [one for one, is_large in zip(values, large, strict=True) if is_large],
            sparsity if all(large) else pruned / max(there, 1),
            scheme,
        )
    )
    for (name, mask), one, is_large in zip(found.items(), values, large, strict=True):
        assert mask[0].tolist() == (next(kept) if is_large else [True] * len(one)), name


OPTIONS = {"sparsity": "0.5", "scheme": "uniform", "spare": "0.02", "model_file": "other.pth"}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_used_and_part_of_what_a_model_depends_on(tmp_path, name, capsys):
    model = write_model(tmp_path / "m")
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.flip(0))
    torch.save(model.state_dict(), tmp_path / "m/other.pth")
    assert prune(tmp_path / "m", tmp_path / "out") == 0
    before = torch.load(tmp_path / "out/mask.pth", weights_only=True)
    assert prune(tmp_path / "m", tmp_path / "out", f"--{name}", OPTIONS[name]) == 1
    assert "other settings made it" in capsys.readouterr().err
    assert prune(tmp_path / "m", tmp_path / "out2", f"--{name}", OPTIONS[name]) == 0
    mask = torch.load(tmp_path / "out2/mask.pth", weights_only=True)
    assert any(not torch.equal(mask[key], before[key]) for key in before)
    source = tmp_path / "m" / (OPTIONS[name] if name == "model_file" else "valid.acc.ave.pth")
    dense, sparse = (torch.load(path, weights_only=True) for path in (source, tmp_path / "out2/valid.acc.ave.pth"))
    for key, one in dense.items():
        assert torch.equal(one * mask[key] if key in mask else one, sparse[key]), key
    record = read_json(tmp_path / "out2/kdasr.json")
    assert record["non_zero"] == sum(int(sparse[key].count_nonzero()) for key, _ in model.named_parameters())
    assert record["non_zero"] < record["parameters"] == sum(one.numel() for one in model.parameters())
    torch.save({key: one * 2 for key, one in dense.items()}, source)  # another model at the same place
    assert prune(tmp_path / "m", tmp_path / "out2", f"--{name}", OPTIONS[name]) == 1
    assert "holds another model" in capsys.readouterr().err


@pytest.mark.parametrize("spare", ["1", "-0.1", "nan"])
def test_a_share_to_spare_out_of_range_is_refused(tmp_path, spare, capsys):
    write_model(tmp_path / "m")
    assert prune(tmp_path / "m", tmp_path / "o", "--spare", spare) == 1
    assert f"--spare {float(spare)}: expected a share from 0 to below 1" in capsys.readouterr().err


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
def test_one_weight_that_is_no_number_is_enough(tmp_path, value, capsys):
    model = write_model(tmp_path / "m")
    with torch.no_grad():
        model.ctc.ctc_lo.weight[-1, -1] = value
    torch.save(model.state_dict(), tmp_path / "m/valid.acc.ave.pth")
    assert prune(tmp_path / "m", tmp_path / "out") == 1
    assert "ctc.ctc_lo.weight holds values that are not numbers" in capsys.readouterr().err


def test_damaged_tokens_are_not_copied(tmp_path, capsys):
    write_model(tmp_path / "m")
    checkpoints.write_record(tmp_path / "m", read_json(tmp_path / "m/kdasr.json"))
    with (tmp_path / "m/tokens/tokens.txt").open("a") as stream:
        stream.write("more\n")
    assert prune(tmp_path / "m", tmp_path / "out") == 1
    assert "tokens.txt: was changed after the training ended" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("info", "label", "expected"),
    [
        ({"role": "student", "teacher": "T", "label": "a"}, "", ("T", "a, pruned 12.5 %")),
        ({"role": "teacher", "teacher": None, "label": "a"}, "mine", ("m", "mine")),
        ({"role": "teacher", "teacher": "T"}, "", ("m", "m, pruned 12.5 %")),
        (None, "", ("m", "m, pruned 12.5 %")),
    ],
)
def test_what_the_report_is_told(tmp_path, info, label, expected):
    (tmp_path / "m").mkdir()
    if info:
        write_json(
            tmp_path / "m/kdasr.json", {**info, "parameters": 1, "seed": 4, "settings": {"old": 1}, "sparsity": 0}
        )
    asked = Pruning(tmp_path / "m", tmp_path / "out", sparsity=0.125, spare=0.25, label=label)
    record = describe(asked, {"parameters": 40, "non_zero": 30}, {"new": 1})
    assert (record["teacher"], record["label"]) == expected and record["role"] == "student"
    assert (record["parameters"], record["non_zero"], record["settings"]) == (40, 30, {"new": 1})
    assert (record["sparsity"], record["scheme"], record["spare"]) == (0.125, "blind", 0.25)
    assert record.get("seed") == (4 if info else None)


def test_the_table_by_hand():
    mask = {"a": torch.tensor([[True, False], [False, False]]), "long.name": torch.ones(1000, 3, dtype=torch.bool)}
    assert table(mask, 4000, 1000) == [
        "parameter  weights     kept",
        "a                4   25.0 %",
        "long.name    3,000  100.0 %",
        "1,000 of 4,000 parameters are not zero (4.0 times fewer)",
    ]
    assert table(mask, 10, 0)[-1] == "0 of 10 parameters are not zero (none left)"
