"""Framewise models: training, predictions of one and of several, soft targets, shares, specialists; refused."""

import dataclasses

import kaldiio
import numpy as np
import pytest
import torch

from kdasr.classify import loop as training
from kdasr.classify.settings import NetSettings
from kdasr.cli import main
from kdasr.files import read_json, write_json, write_table
from kdasr.frames import specialists
from kdasr.frames.data import batches, load
from kdasr.frames.predict import fitting, load_predictions, of_data
from kdasr.frames.settings import FrameSettings
from kdasr.frames.train import accuracy

SET = ["hidden=16", "layers=2", "epochs=6", "batch=40", "rate=0.01"]
TOKENS = "ABCD"


def frames_dir(root, name, utterances, seed, *words):
    """Frames of utterances of four tokens, each with a pattern of its own; the directory."""
    generator = np.random.default_rng(seed)
    patterns = np.random.default_rng(1).normal(size=(5, 6))
    matrices, spikes = {}, {}
    for number in range(utterances):
        said = generator.integers(0, 4, size=6)
        utterance = f"{name}{number:03d}"
        spikes[utterance] = " ".join(f"{4 + 8 * place}:{TOKENS[token]}" for place, token in enumerate(said))
        rows = np.concatenate([np.repeat(patterns[[token]], 8, 0) for token in said])
        matrices[utterance] = (rows + generator.normal(scale=0.8, size=rows.shape)).astype(np.float32)
    (root / f"ali_{name}").mkdir()
    write_table(root / f"ali_{name}/alignment", spikes)
    write_json(root / f"ali_{name}/align.json", {"skipped": []})
    (root / f"feats_{name}").mkdir()
    kaldiio.save_ark(str(root / f"feats_{name}/feats.ark"), matrices, scp=str(root / f"feats_{name}/feats.scp"))
    options = ["--feats", str(root / f"feats_{name}"), "--alignment", str(root / f"ali_{name}"), *words]
    assert main(["frames", "data", *options, "--out", str(root / name)]) == 0


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A training set, a validation set like it, and two models."""
    root = tmp_path_factory.mktemp("frames")
    numbers = ["--left", "2", "--right", "1", "--min_count", "1000", "--positions", "2"]
    frames_dir(root, "train", 40, 2, *numbers)
    frames_dir(root, "dev", 10, 3, "--like", str(root / "train"))
    for seed in ("1", "2"):
        assert train(root, f"base_s{seed}", "--label", "baseline", "--seed", seed) == 0
    assert predict(root, ["base_s1", "base_s2"], "train", "ensemble") == 0
    return root


def train(root, name, *words, settings=()):
    data = ["--data", str(root / "train"), "--valid", str(root / "dev"), "--out", str(root / "exp" / name)]
    return main(["frames", "train", *data, *words, "--set", *SET, *settings])


def predict(root, names, data, out):
    models = [str(root / "exp" / name) for name in names]
    return main(["frames", "predict", "--models", *models, "--data", str(root / data), "--out", str(root / out)])


def network(root, name):
    """A plain network with the weights of a model."""
    weights = torch.load(root / "exp" / name / "model.pth")

    def run(x):
        for layer in range(3):
            x = x @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"]
            x = x.relu() if layer < 2 else x
        return x.softmax(1)

    return run


def test_predictions_are_the_networks_and_their_mean(root):
    frames = load(root / "train")
    inputs = frames.inputs(torch.arange(len(frames.labels)))
    assert inputs.shape == (40 * 48, 4 * 6)
    mean = (network(root, "base_s1")(inputs) + network(root, "base_s2")(inputs)) / 2
    found = load_predictions(root / "ensemble")
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float().exp(), mean, rtol=5e-3, atol=1e-4)
    about = read_json(root / "ensemble/predict.json")
    right = int((mean.argmax(1) == frames.labels).sum())
    assert about["right"] == right and about["frames"] == 1920 and about["models"] == ["base_s1", "base_s2"]
    assert about["accuracy"] == round(100 * right / 1920, 3)
    one = read_json(root / "exp/base_s1/kdasr.json")
    alone = int((network(root, "base_s1")(inputs).argmax(1) == frames.labels).sum())
    assert one["train_accuracy"] == round(100 * alone / 1920, 3) > 40
    assert one["temperature"] is None and one["teachers"] == 0 and one["frames"] == 1920


def test_the_kept_epoch_is_the_best_on_the_validation_set(root):
    dev = load(root / "dev")
    inputs = dev.inputs(torch.arange(len(dev.labels)))
    for seed in (1, 2):
        right = (network(root, f"base_s{seed}")(inputs).argmax(1) == dev.labels).float().mean()
        record = read_json(root / f"exp/base_s{seed}/kdasr.json")
        assert record["valid_accuracy"] == pytest.approx(100 * right.item(), abs=1e-3)
        assert 1 <= record["best_epoch"] <= 6


def test_a_student_of_the_ensemble_alone_predicts_as_it_does(root):
    """Without labels (soft_weight 1), at T = 1: nearer to the ensemble than the baselines are."""
    words = ["--soft", str(root / "ensemble"), "--label", "distilled"]
    assert train(root, "soft_s3", *words, "--seed", "3", settings=["soft_weight=1", "temperature=1", "epochs=25"]) == 0
    frames = load(root / "train")
    inputs = frames.inputs(torch.arange(len(frames.labels)))
    mean = load_predictions(root / "ensemble").float()
    apart = {
        name: (mean.exp() * (mean - network(root, name)(inputs).log())).sum(1).mean().item()
        for name in ("base_s1", "base_s2", "soft_s3")
    }
    assert apart["soft_s3"] < min(apart["base_s1"], apart["base_s2"])
    record = read_json(root / "exp/soft_s3/kdasr.json")
    assert record["teachers"] == 2 and record["temperature"] == 1 and record["label"] == "distilled"


def test_a_share_takes_its_own_soft_targets(root, monkeypatch):
    """The rows of the predictions that a share learns from are those of its frames."""
    seen = {}
    plain = training.Loop.__init__

    def noted(loop, model, settings, inputs, labels, soft, *rest):
        seen.update(inputs=inputs(torch.arange(len(labels))), labels=labels, soft=soft)
        plain(loop, model, settings, inputs, labels, soft, *rest)

    monkeypatch.setattr(training.Loop, "__init__", noted)
    assert train(root, "few_s4", "--soft", str(root / "ensemble"), "--share", "0.1", "--seed", "4") == 0
    whole, every = load(root / "train"), load_predictions(root / "ensemble")
    inputs = whole.inputs(torch.arange(len(whole.labels)))
    assert len(seen["labels"]) == 4 * 48 == read_json(root / "exp/few_s4/kdasr.json")["frames"]
    for row in range(0, 192, 7):
        place = int((inputs == seen["inputs"][row]).all(1).nonzero()[0])
        assert torch.equal(seen["soft"][row], every[place]) and seen["labels"][row] == whole.labels[place]


def changed_settings(kind):
    """Every setting with another value that may be."""
    for field in dataclasses.fields(kind):
        yield f"{field.name}={field.default + 1 if isinstance(field.default, int) else field.default / 2 + 0.01}"


def test_a_training_goes_on_with_all_that_it_was_begun_with_alone(root, tmp_path, capsys):
    """Each setting, option and directory is changed, one at a time: refused by its name."""
    out = tmp_path / "out"
    base = {
        "--data": root / "train", "--valid": root / "dev", "--soft": root / "ensemble", "--share": 0.5, "--seed": 1,
        "--out": out,
    }  # fmt: skip

    def call(options, *more):
        return main(["frames", "train", *(str(word) for pair in options.items() for word in pair), *more])

    def refused(what, *words):
        assert call(*words) == 1, (what, words)
        assert f"out: was begun with another {what} (" in capsys.readouterr().err, (what, words)

    assert call(base, "--set", *SET, "epochs=1") == 0
    (out / "kdasr.json").unlink()
    made = read_json(out / "settings.json")
    write_json(out / "settings.json", made | {"settings": dataclasses.asdict(FrameSettings())})
    changes = list(changed_settings(FrameSettings))
    assert len(changes) == len(dataclasses.fields(FrameSettings)) > 8
    for change in changes:
        refused("settings", base, "--set", change)
    refused("seed", base | {"--seed": 2})
    refused("share", base | {"--share": 1})
    refused("soft", {name: value for name, value in base.items() if name != "--soft"})
    refused("valid", base | {"--valid": root / "train"})
    assert predict(root, ["base_s2", "base_s1"], "train", "other_ensemble") == 0
    capsys.readouterr()
    refused("soft", base | {"--soft": root / "other_ensemble"})
    without = {name: value for name, value in base.items() if name != "--soft"}
    write_json(out / "settings.json", {**made, "soft": None, "settings": dataclasses.asdict(FrameSettings())})
    refused("data", without | {"--data": root / "dev"})


def test_predictions_are_known_by_all_they_were_made_from(root, tmp_path, capsys):
    def call(models, data, *more):
        named = [str(root / "exp" / one) for one in models]
        words = ["--models", *named, "--data", str(root / data), "--out", str(tmp_path / "out"), *more]
        return main(["frames", "predict", *words])

    assert call(["base_s1", "base_s2"], "dev", "--mean", "geometric") == 0
    dev = load(root / "dev")
    inputs = dev.inputs(torch.arange(len(dev.labels)))
    mean = (network(root, "base_s1")(inputs).log() + network(root, "base_s2")(inputs).log()) / 2
    found = load_predictions(tmp_path / "out").float()
    torch.testing.assert_close(found, mean.log_softmax(1), rtol=1e-2, atol=1e-2)
    arithmetic = (network(root, "base_s1")(inputs) + network(root, "base_s2")(inputs)) / 2
    assert (found - arithmetic.log()).abs().max() > 0.1  # so that the two kinds of mean can be told apart
    for models, data, mean_kind, what in (
        (["base_s1"], "dev", "geometric", "models"),
        (["base_s2", "base_s1"], "dev", "geometric", "models"),
        (["base_s1", "base_s2"], "train", "geometric", "data"),
        (["base_s1", "base_s2"], "dev", "arithmetic", "mean"),
    ):
        assert call(models, data, "--mean", mean_kind) == 1
        assert f"out: was begun with another {what} (" in capsys.readouterr().err
    first = of_data(tmp_path / "out", root / "dev")["name"]
    assert predict(root, ["base_s1"], "dev", "one_of_dev") == 0
    assert of_data(root / "one_of_dev", root / "dev")["name"] != first


def test_a_network_of_fewer_states_is_refused(root, tmp_path, capsys):
    """Windows as it was trained with, but states of another training set."""
    frames_dir(tmp_path, "other", 4, 5, "--left", "2", "--right", "1", "--min_count", "1", "--positions", "2")
    models = ["--models", str(root / "exp/base_s1"), "--data", str(tmp_path / "other"), "--out", str(tmp_path / "y")]
    assert main(["frames", "predict", *models]) == 1
    assert "takes 24 values a frame and tells 9 states apart" in capsys.readouterr().err


def test_frames_are_read_a_part_at_a_time(root, monkeypatch):
    """Parts that do not go into the frames evenly: all of them, in order."""
    dev = load(root / "dev")
    monkeypatch.setattr("kdasr.frames.data.READ", 77)
    parts = list(batches(dev))
    assert [len(labels) for _, labels in parts] == [77] * 6 + [18]
    assert torch.equal(torch.cat([x for x, _ in parts]), dev.inputs(torch.arange(480)))
    assert torch.equal(torch.cat([y for _, y in parts]), dev.labels)
    record = read_json(root / "exp/base_s1/kdasr.json")
    model = fitting(root / "exp/base_s1", root / "dev", dev)
    assert round(accuracy(model, dev), 3) == record["valid_accuracy"]


def test_what_a_record_says_of_a_share_is_of_the_share(root):
    """Its utterances by the seed, and the accuracy on them; from labels there is no temperature."""
    whole, chosen = load(root / "train"), []
    for seed in ("4", "5"):
        assert train(root, f"share_s{seed}", "--share", "0.2", "--seed", seed, settings=["epochs=2"]) == 0
        record, part = read_json(root / f"exp/share_s{seed}/kdasr.json"), whole.only(0.2, int(seed))
        inputs = part.inputs(torch.arange(len(part.labels)))
        right = (network(root, f"share_s{seed}")(inputs).argmax(1) == part.labels).float().mean().item()
        assert record["train_accuracy"] == pytest.approx(100 * right, abs=1e-3)
        assert (record["share"], record["frames"], record["seed"]) == (0.2, 8 * 48, int(seed))
        assert record["temperature"] is None and record["soft_weight"] is None and record["label"] == f"share_s{seed}"
        chosen.append(tuple(part.names))
    assert chosen[0] != chosen[1]


def test_groups_are_found_in_frames_evenly_spaced(root, monkeypatch):
    seen = {}

    def noted(settings, general, train, said_of_train, test, said, out):
        seen.update(train=said_of_train, test=said)
        raise KeyboardInterrupt

    monkeypatch.setattr(specialists, "beside", noted)
    monkeypatch.setattr(specialists, "GROUPED", 300)  # of 1920: every sixth
    words = ["--data", str(root / "train"), "--test", str(root / "dev"), "--generalist", str(root / "exp/base_s1")]
    assert main(["frames", "specialists", *words, "--out", str(root / "special_noted")]) == 130
    for part, chosen in (("train", torch.arange(0, 1920, 6)), ("test", torch.arange(480))):
        inputs = load(root / {"test": "dev"}.get(part, part)).inputs(chosen)
        torch.testing.assert_close(seen[part].softmax(1), network(root, "base_s1")(inputs), rtol=1e-3, atol=1e-4)


def test_defaults_are_those_of_the_recipe():
    expected = {"hidden": 512, "layers": 4, "epochs": 10, "batch": 256, "temperature": 2.0, "soft_weight": 0.667}
    assert dataclasses.asdict(FrameSettings()) == dataclasses.asdict(NetSettings()) | expected


def test_killed_and_resumed_equals_uninterrupted_frames(root, monkeypatch, capsys):
    settings = ["drop_hidden=0.3"]
    assert train(root, "whole_s1", settings=settings) == 0
    monkeypatch.setattr(training, "SAVE_SECONDS", -1)
    plain = training.Loop.set_rate

    def killed(loop, done):
        if loop.epoch == 4:
            raise KeyboardInterrupt
        plain(loop, done)

    with monkeypatch.context() as patch:
        patch.setattr(training.Loop, "set_rate", killed)
        assert train(root, "parts_s1", settings=settings) == 130
    assert train(root, "parts_s1", settings=[*settings, "rate=0.02"]) == 1
    assert "was begun with another settings" in capsys.readouterr().err
    assert train(root, "parts_s1", settings=settings) == 0
    whole, parts = (torch.load(root / f"exp/{name}_s1/model.pth") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert train(root, "parts_s1", settings=settings) == 0
    assert "trained already" in capsys.readouterr().out


def test_specialists_of_states(root, capsys, monkeypatch):
    told = []
    monkeypatch.setattr(
        specialists, "beside", lambda *args, plain=specialists.beside: told.append(plain(*args)) or told[0]
    )
    words = ["--data", str(root / "train"), "--test", str(root / "dev"), "--generalist", str(root / "exp/base_s1")]
    assert (
        main(["frames", "specialists", *words, "--groups", "2", "--batch", "40", "--out", str(root / "special")]) == 0
    )
    found = read_json(root / "special/specialists.json")
    names = load(root / "train").states.names
    assert sorted(name for group in found["groups"] for name in group["states"]) == sorted(names)
    dev = load(root / "dev")
    alone = int((network(root, "base_s1")(dev.inputs(torch.arange(480))).argmax(1) == dev.labels).sum())
    assert (found["alone"], found["tested"]) == (alone, 480)
    assert found["together"] > 0.4 * 480  # chance is a ninth
    assert found["together"] == 480 - told[0]["together"] and found["alone"] == 480 - told[0]["alone"]
    assert f"{alone} right by the generalist alone" in capsys.readouterr().out


def test_what_does_not_belong_together_is_refused(root, tmp_path, capsys):
    def refused(said, *words):
        assert main(["frames", *words]) == 1
        assert said in capsys.readouterr().err

    ask = ["--data", str(root / "train"), "--valid", str(root / "dev"), "--out", str(tmp_path / "x")]
    refused("make it first: kdasr frames data", "train", *ask[2:], "--data", str(tmp_path))
    refused("predict first: kdasr frames predict", "train", *ask, "--soft", str(tmp_path))
    assert predict(root, ["base_s1"], "dev", "of_dev") == 0
    capsys.readouterr()
    refused("are predictions of dev", "train", *ask, "--soft", str(root / "of_dev"))
    refused("above 0, up to 1", "train", *ask, "--share", "0")
    refused("train the model first", "predict", "--models", str(tmp_path), "--data", str(root / "dev"), "--out", "x")
    frames_dir(tmp_path, "other", 3, 5, "--left", "1", "--right", "1")
    capsys.readouterr()
    models = ["--models", str(root / "exp/base_s1"), "--data", str(tmp_path / "other"), "--out", str(tmp_path / "y")]
    refused("takes 24 values a frame", "predict", *models)
    refused("has other states than", "train", *ask[:2], "--valid", str(tmp_path / "other"), *ask[4:])
