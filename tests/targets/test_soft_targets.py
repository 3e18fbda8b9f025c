"""`kdasr soft`: what a teacher expects at each step, against the model called by hand and the search's own."""

import argparse
import itertools
import json
import re

import kaldiio
import numpy as np
import pytest
import search_models as models
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from nbest_models import write_data, write_model
from properties import examples

from kdasr.bin import soft as command
from kdasr.cli import main
from kdasr.data.front_ends import front_end
from kdasr.files import read_json, read_table, write_json, write_table
from kdasr.shards import claim
from kdasr.targets.distributions import batches

LENGTHS = [40, 52, 33, 61, 47]


@pytest.fixture
def place(tmp_path):
    """root/model, root/data and root/targets of two hypotheses each: their matrices are asked for."""
    model = write_model(tmp_path / "model")
    features = models.features(LENGTHS)
    keys = write_data(tmp_path / "data", features)
    targets = tmp_path / "targets"
    targets.mkdir()
    generator = np.random.default_rng(1)
    hyps = {key: [generator.integers(2, len(model.token_list) - 1, n).tolist() for n in (3, 5)] for key in keys}
    hyps[keys[0]] = [[2, 3, 3], [2, 3], []]
    write_table(targets / "hyps", {key: " ".join(str(i) for h in one for i in h) for key, one in hyps.items()})
    write_table(targets / "hyp_lens", {key: " ".join(str(len(h)) for h in one) for key, one in hyps.items()})
    (targets / "targets.json").write_text(json.dumps({"settings": {"tokens": None}}))
    return tmp_path, model, features, hyps


def soft(root, *more):
    words = ["--model", root / "model", "--targets", root / "targets", "--data", root / "data", *more]
    return main(["soft", *map(str, words)])


def by_hand(model, features, hyps):
    """Log-probabilities (R, V) of one utterance's hypotheses, each decoded alone."""
    rows = []
    with torch.no_grad():
        encoded, frames = model.encode(features[None], torch.tensor([len(features)]))
        for tokens in hyps:
            ys = torch.tensor([[model.sos, *tokens]])
            rows.append(model.decoder(encoded, frames, ys, torch.tensor([ys.size(1)]))[0][0].log_softmax(-1))
    return torch.cat(rows).numpy()


def test_all_tokens_are_the_models_distribution(place):
    root, model, features, hyps = place
    assert soft(root, "--kept", 0, "--batch_frames", 150) == 0
    found = read_table(root / "targets" / "soft.scp")
    assert found.keys() == hyps.keys()
    for n, (key, one) in enumerate(hyps.items()):
        ids, logp = np.split(kaldiio.load_mat(found[key]), 2, axis=1)  # (R, V) both
        expected = by_hand(model, features[n], one)
        np.testing.assert_allclose(logp, np.take_along_axis(expected, ids.astype(int), 1), atol=1e-4)
        assert (np.diff(logp) <= 0).all() and (np.sort(ids) == np.arange(expected.shape[1])).all()


def test_what_the_ctc_branch_gives(place):
    root, model, features, hyps = place
    assert soft(root, "--kept", 0, "--ctc") == 0
    found = read_table(root / "targets" / "ctc.scp")
    for n, key in enumerate(hyps):
        ids, logp = np.split(kaldiio.load_mat(found[key]), 2, axis=1)  # (S, V) both
        with torch.no_grad():
            encoded, _ = model.encode(features[n][None], torch.tensor([len(features[n])]))
            expected = model.ctc.ctc_lo(encoded)[0].log_softmax(-1).numpy()
        np.testing.assert_allclose(logp, np.take_along_axis(expected, ids.astype(int), 1), atol=1e-4)
    assert read_table(root / "targets" / "soft.scp").keys() == found.keys()


@pytest.mark.parametrize("rate", [None, 16000])
def test_when_the_frames_of_the_ctc_branch_are(place, rate, capsys):
    """In seconds, if kdasr made the features; without --ctc nothing is said of frames."""
    root, *_ = place
    if rate:
        described = {"made_by": "kdasr feats", "features": front_end("fbank", 8).described(rate), "rate": rate}
        write_json(root / "data" / "manifest.json", described)
    assert soft(root) == 0 and "frames" not in read_json(root / "targets" / "soft.json")
    for path in (root / "targets").glob("soft.*"):
        path.unlink()
    capsys.readouterr()
    assert soft(root, "--ctc") == 0
    expected = {"first": 200.0, "step": 640.0, "rate": rate} if rate else {"first": 0.0, "step": 4.0, "rate": 0}
    assert read_json(root / "targets" / "soft.json")["frames"] == expected
    said = "every 40 ms from 12.5 ms" if rate else "every 4 frames of the features from frame 0"
    assert f"the teacher's frames {said}\n" in capsys.readouterr().out


def test_teachers_whose_ctc_frames_are_not_there_or_not_alike(place, capsys):
    root, *_ = place
    write_model(root / "conformer", "conformer")
    assert soft(root, "--model", root / "model", root / "conformer", "--ctc") == 1
    error = capsys.readouterr().err
    assert "conformer: has frames every 4 frames of the features from frame 3" in error and "at the same times" in error
    write_model(root / "attention", model_conf={"ctc_weight": 0.0})
    assert soft(root, "--model", root / "attention", "--ctc") == 1
    assert "attention: has no CTC branch (ctc_weight 0)" in capsys.readouterr().err
    assert not list((root / "targets").glob("soft.*"))


def test_an_ensemble_and_some_tokens(place):
    root, model, features, hyps = place
    other = write_model(root / "other")
    with torch.no_grad():
        other.decoder.output.bias += torch.randn(len(model.token_list))
    torch.save(other.state_dict(), root / "other" / "valid.acc.ave.pth")
    words = ("--model", root / "model", root / "other", "--weights", 0.25, 0.75, "--ensemble", "geometric", "--kept", 3)
    assert soft(root, *words) == 0
    key = next(iter(hyps))
    ids, logp = np.split(kaldiio.load_mat(read_table(root / "targets" / "soft.scp")[key]), 2, axis=1)
    one, two = (by_hand(m, features[0], hyps[key]) for m in (model, other))
    mean = torch.tensor(0.25 * one + 0.75 * two).log_softmax(-1).numpy()
    assert ids.shape == (8, 3)
    np.testing.assert_allclose(logp, -np.sort(-mean)[:, :3], atol=1e-4)


def test_a_second_run_does_nothing_and_other_settings_are_refused(place, capsys):
    root, *_ = place
    assert soft(root) == 0
    made = (root / "targets" / "soft.ark").stat().st_mtime_ns
    assert soft(root) == 0
    assert "has these soft targets already" in capsys.readouterr().out
    assert soft(root, "--kept", 3) == 1
    assert "soft targets of other kept; remove them first" in capsys.readouterr().err
    assert (root / "targets" / "soft.ark").stat().st_mtime_ns == made


def test_a_killed_run_is_taken_up(place, monkeypatch):
    """Of parts of two utterances one is lost: only that one is made again, and the result is the same."""
    from kdasr.targets import soft as soften

    root, *_ = place
    monkeypatch.setattr(soften, "SHARD_SIZE", 2)
    calls, real = [], soften.make_part

    def counted(*args, **more):
        calls.append(args[5])
        return real(*args, **more)

    monkeypatch.setattr(soften, "make_part", counted)
    with monkeypatch.context() as broken:
        broken.setattr(soften, "write_soft_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert soft(root) == 130
    assert calls == [0, 1, 2] and not (root / "targets" / "soft.scp").exists()
    (root / "targets" / ".soft" / "1.npz").unlink()
    assert soft(root) == 0
    assert calls == [0, 1, 2, 1] and not (root / "targets" / ".soft").exists()
    assert read_json(root / "targets" / "soft.json")["utterances"] == 5


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda r: (r / "targets" / "targets.json").unlink(), "holds no targets.json"),
        (lambda r: write_table(r / "targets" / "hyp_lens", {"utt1": "3"}), "utt0 does not fit its hyps"),
        (lambda r: write_table(r / "data" / "feats.scp", {"utt9": "x"}), "utt0 is in none of"),
        (
            lambda r: (r / "targets" / "targets.json").write_text('{"settings": {"tokens": "other"}}'),
            "of another token list",
        ),
    ],
)
def test_bad_input_is_named(place, break_it, said, capsys):
    root, *_ = place
    break_it(root)
    assert soft(root) == 1
    assert said in capsys.readouterr().err
    assert not (root / "targets" / "soft.scp").exists()


def test_batches_hold_what_fits():
    assert batches([10, 30, 20, 5], [1, 2, 1, 1], 80) == [[1], [2, 0, 3]]
    assert batches([100], [5], 10) == [[0]]


# an option of `kdasr soft`: another value, and what its refusal names; None: it changes nothing
OPTIONS = {
    "model": ("other", "model"), "model_file": ("other.pth", "model"), "kept": (3, "kept"), "ctc": ((), "ctc"),
    "ensemble": ("geometric", "mean"), "weights": ((0.25, 0.75), "weights"),
    "resample": ((), "resample"), "channel": (1, "channel"),
    "lang": None, "task": None,  # of S2T models: tests/search/test_s2t_search.py
    "targets": None, "data": None, "batch_frames": None, "nj": None, "ngpu": None, "job": None, "merge": None,
}  # fmt: skip


def test_every_option_and_input_is_in_the_settings(place, capsys):
    """Or it changes nothing: another value of it is refused, also while parts are missing."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert {action.dest for action in parser._actions} - {"help"} == OPTIONS.keys()
    root, model, *_ = place
    write_model(root / "other")
    with torch.no_grad():
        model.decoder.output.bias += 1.0
    for path in (root / "model" / "other.pth", root / "other" / "other.pth", root / "other" / "valid.acc.ave.pth"):
        torch.save(model.state_dict(), path)
    targets = root / "targets"
    two = ("--model", root / "model", root / "other")

    def refused(what, *words):
        scp = (targets / "soft.scp").read_bytes() if (targets / "soft.scp").exists() else None
        assert soft(root, *two, *words) == 1, what
        error = capsys.readouterr().err
        assert re.search(rf"of other .*{what}|other settings \(.*{what} was", error), (what, error)
        assert ((targets / "soft.scp").read_bytes() if scp else None) == scp

    for finished in (True, False):
        if finished:
            assert soft(root, *two) == 0
        else:  # as a run leaves it that was ended before the last part
            settings = read_json(targets / "soft.json")["settings"]
            for name in ("soft.json", "soft.scp", "soft.ark", "soft.sha256"):
                (targets / name).unlink()
            claim(targets / ".soft", settings)
        for name, value in OPTIONS.items():
            if value is not None:
                given = root / value[0] if name == "model" else value[0]
                words = given if isinstance(given, tuple) else (given,)
                refused(value[1], f"--{name}", *words, *((root / "model",) if name == "model" else ()))
        refused("model", "--model", root / "model", "--weights", 1)
        for name in ("hyps", "hyp_lens"):
            right = (targets / name).read_bytes()
            table = read_table(targets / name, empty=True)
            key = next(iter(table))
            write_table(targets / name, {**table, key: " ".join(table[key].split()[::-1])})
            refused(name)
            (targets / name).write_bytes(right)
    assert soft(root, *two) == 0


@pytest.mark.parametrize(
    ("weights", "good"),
    [
        ((0.5, 0.5), True), ((0.33333, 0.66666), True), ((0.5, 0.4998), False), ((0.5, 0.5002), False), ((0, 1), False),
        ((-1, 2), False), ((1,), False), ((0.5, 0.25, 0.25), False), (("nan", 1), False),
    ],
)  # fmt: skip
def test_weights_of_teachers_sum_to_one(place, weights, good, capsys):
    root, *_ = place
    write_model(root / "other")
    assert soft(root, "--model", root / "model", root / "other", "--weights", *weights) == (0 if good else 1)
    assert good or "expected 2 numbers above 0 that sum to 1" in capsys.readouterr().err


@examples(200)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 6)), min_size=1, max_size=12),
    st.integers(1, 400),
)
def test_batches_are_as_large_as_they_may_be(rows, most):
    lengths, hyps = [row[0] for row in rows], [row[1] for row in rows]
    found = batches(lengths, hyps, most)

    def size(batch):
        return len(batch) * max(hyps[n] for n in batch) * max(lengths[n] for n in batch)

    order = [n for batch in found for n in batch]
    assert sorted(order) == list(range(len(rows)))
    assert [lengths[n] for n in order] == sorted(lengths, reverse=True)
    assert all(size(batch) <= most or len(batch) == 1 for batch in found)
    assert all(size([*one, other[0]]) > most for one, other in itertools.pairwise(found))


def test_a_teacher_of_ctc_alone_gives_what_it_expects_in_each_frame(place, capsys):
    root, _, features, hyps = place
    alone = {"model_conf": {"ctc_weight": 1.0}}
    model = models.build("conformer", changes=alone)
    (root / "ctc").mkdir()
    torch.save(model.state_dict(), root / "ctc" / "valid.acc.ave.pth")
    (root / "ctc" / "config.yaml").write_text(yaml.safe_dump(models.config("conformer") | alone))
    words = ["soft", "--model", root / "ctc", "--targets", root / "targets", "--data", root / "data", "--kept", 0]
    assert main([*map(str, words)]) == 1
    assert "ctc: was trained with CTC alone, so that it expects nothing word by word" in capsys.readouterr().err
    assert main([*map(str, words), "--ctc"]) == 0
    assert "soft targets of 5 utterances, of frames alone" in capsys.readouterr().out
    assert not (root / "targets" / "soft.scp").exists()
    found = read_table(root / "targets" / "ctc.scp")
    assert found.keys() == hyps.keys()
    for n, key in enumerate(hyps):
        ids, logp = np.split(kaldiio.load_mat(found[key]), 2, axis=1)  # (S, V) both
        with torch.no_grad():
            encoded, _ = model.encode(features[n][None], torch.tensor([len(features[n])]))
            expected = model.ctc.ctc_lo(encoded)[0].log_softmax(-1).numpy()
        np.testing.assert_allclose(logp, np.take_along_axis(expected, ids.astype(int), 1), atol=1e-4)
    assert main([*map(str, words), "--ctc"]) == 0
    assert "has these soft targets already" in capsys.readouterr().out
    # a model with a decoder beside it gives no more
    for file in (root / "targets").glob("[sc][ot][fc]*"):
        file.unlink()
    words[2:3] = [root / "ctc", root / "model"]
    assert main([*map(str, words)]) == 1
    assert f"{root}/ctc: was trained with CTC alone" in capsys.readouterr().err


def test_jobs_share_the_parts(place, monkeypatch, capsys):
    """Two jobs, parts of two utterances: what one process gives; a merge before both are done says what is missing."""
    root, *_ = place
    assert soft(root, "--ctc") == 0
    whole = {name: dict(kaldiio.load_scp(str(root / "targets" / f"{name}.scp"))) for name in ("soft", "ctc")}
    for path in root.glob("targets/*soft*"):
        path.unlink()
    monkeypatch.setattr("kdasr.targets.soft.SHARD_SIZE", 2)
    assert soft(root, "--ctc", "--job", "2/2") == 0
    assert [path.name for path in (root / "targets" / ".soft").glob("*.npz")] == ["1.npz"]
    assert soft(root, "--ctc", "--merge") == 1
    assert "2 of 3 shards are missing, the first is 0" in capsys.readouterr().err
    assert soft(root, "--ctc", "--job", "1/2") == 0
    assert not (root / "targets" / "soft.scp").exists()
    assert soft(root, "--ctc", "--merge") == 0
    for name, rows in whole.items():
        found = dict(kaldiio.load_scp(str(root / "targets" / f"{name}.scp")))
        assert found.keys() == rows.keys()
        for key, matrix in rows.items():
            np.testing.assert_allclose(found[key], matrix, atol=1e-4)
    assert not (root / "targets" / ".soft").exists()
