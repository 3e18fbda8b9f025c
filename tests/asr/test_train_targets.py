"""`kdasr train` on targets: soft ones from files and from a teacher beside it, and what it refuses before it starts."""

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from tiny_training import train, words, write_place

from kdasr.cli import main
from kdasr.files import read_json, read_table, write_table

KD = ("--kd", "word_weight=0.5", "ctc_word_weight=0.25", "temperature=2")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Targets, a teacher trained on references for one epoch, and its soft targets, all of the vocabulary."""
    root = write_place(
        tmp_path_factory.mktemp("place"), max_epoch=1, specaug=None, optim="sgd", optim_conf={"lr": 0.01}
    )
    given = words(root, root / "teacher", "--seed", 5)
    at = given.index("--targets")
    assert main(given[:at] + given[at + 2 :]) == 0
    soft = ["soft", "--model", root / "teacher", "--targets", root / "targets", "--data", root / "train"]
    assert main([*map(str, soft), "--kept", "0", "--ctc"]) == 0
    return root


def test_stored_and_asked_teachers_train_the_same_student(place):
    assert train(place, place / "stored", *KD) == 0
    assert train(place, place / "asked", *KD, f"teachers=[{place}/teacher]") == 0
    one, other = (
        torch.load(place / name / "valid.acc.ave.pth", map_location="cpu", weights_only=True)
        for name in ("stored", "asked")
    )
    for key, value in one.items():
        torch.testing.assert_close(value.float(), other[key].float(), rtol=1e-3, atol=1e-4)
    assert train(place, place / "hard") == 0
    plain = torch.load(place / "hard" / "valid.acc.ave.pth", map_location="cpu", weights_only=True)
    assert any((one[key].float() - plain[key].float()).abs().max() > 1e-3 for key in one)
    config = yaml.safe_load((place / "stored" / "config.yaml").read_text())
    assert config["kd_conf"]["word_weight"] == 0.5 and config["model"] == "espnet"
    log = (place / "stored" / "kdasr.json").read_text()
    assert "soft targets" in log and "ctc targets" in log


def test_the_sampler_counts_distinct_prefixes(place, tmp_path):
    assert train(place, tmp_path / "s") == 0
    shapes = read_table(tmp_path / "s" / "data" / "train" / "text_shape")
    hyps, lens = (read_table(place / "targets" / name) for name in ("hyps", "hyp_lens"))
    for key, shape in shapes.items():
        tokens, prefixes = hyps[key].split(), {()}
        for n in map(int, lens[key].split()):
            prefixes |= {tuple(tokens[:end]) for end in range(n + 1)}
            tokens = tokens[n:]
        assert int(shape.split(",")[0]) == len(prefixes)


def change(name, edit):
    """A function that edits the first utterance's entry of a table of targets."""

    def apply(targets):
        table = read_table(targets / name)
        key = min(table)
        table[key] = edit(table[key])
        write_table(targets / name, table)

    return apply


def shorten(targets):
    """One row fewer in the first utterance's soft targets."""
    table = read_table(targets / "soft.scp")
    key = min(table)
    matrix = kaldiio.load_mat(table[key])[:-1]
    kaldiio.save_ark(str(targets / "short.ark"), {key: np.ascontiguousarray(matrix)}, scp=str(targets / "short.scp"))
    table[key] = read_table(targets / "short.scp")[key]
    write_table(targets / "soft.scp", table)


@pytest.mark.parametrize(
    ("break_it", "kd", "said"),
    [
        (change("weights", lambda _: "0.9 0.3 -0.2"), (), "train00"),
        (change("weights", lambda _: "nan 0.5 0.5"), (), "train00"),
        (change("weights", lambda _: "0 0 0"), (), "train00"),
        (change("hyps", lambda _: "3 99"), (), "train00"),
        (shorten, KD, "train00"),
        (lambda t: (t / "targets.json").write_text('{"settings": {"tokens": "other"}}'), (), "token list"),
        (lambda t: write_table(t / "ctc.scp", dict(list(read_table(t / "ctc.scp").items())[1:])), KD, "lacks train00"),
        (lambda t: (t / "soft.scp").unlink(), KD, "kdasr soft"),
        (lambda t: (t / "ctc.scp").unlink(), KD, "kdasr soft --targets DIR --ctc"),
        (lambda t: None, ("--kd", "word_wieght=1"), "expected word_weight"),
        (lambda t: None, ("--kd", "word_weight"), "expected KEY=VALUE"),
        (lambda t: None, ("--kd", "word_weight=1", "teachers=[nowhere]"), "nowhere"),
    ],
)
def test_bad_targets_are_refused_before_training(place, tmp_path, break_it, kd, said, capfd):
    import shutil

    shutil.copytree(place, tmp_path / "p", ignore=shutil.ignore_patterns("stored", "asked", "hard"))
    break_it(tmp_path / "p" / "targets")
    assert train(tmp_path / "p", tmp_path / "out", *kd) == 1
    error = capfd.readouterr().err
    assert said in error and "Traceback" not in error
    assert not (tmp_path / "out" / "checkpoint.pth").exists()


def test_a_run_with_other_settings_is_not_taken_for_this_one(place, tmp_path, capsys):
    assert train(place, tmp_path / "s", "--kd", "word_weight=0.5") == 0
    assert train(place, tmp_path / "s", "--kd", "word_weight=0.4") == 1
    assert "holds a model of other kd" in capsys.readouterr().err
    assert read_json(tmp_path / "s" / "kdasr.json")["settings"]["kd"] == ["word_weight=0.5"]
