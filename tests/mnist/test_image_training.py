"""Training on labels and soft targets, resumed and refused; specialists; the report, on made images."""

import dataclasses
import re
import shutil
import xml.etree.ElementTree as ET

import image_training
import numpy as np
import pytest
import torch
from commands import mnist
from image_set import Images
from image_settings import ImageSettings
from image_tables import read
from image_training import transfer_classes
from torch.nn import functional as F

from kdasr.classify import loop as training
from kdasr.classify.nets import Classifier
from kdasr.errors import UserError
from kdasr.files import read_json

SET = ["hidden=24", "epochs=6", "batch=40", "rate=0.01"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Ten blurred patterns of 5 x 5 pixels, and a teacher of them with every regularisation."""
    root = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    patterns = generator.uniform(0, 160, (10, 5, 5))
    arrays = {}
    for part, count in (("train", 400), ("test", 200)):
        labels = np.arange(count) % 10
        arrays[f"{part}_labels"] = labels.astype(np.uint8)
        arrays[f"{part}_images"] = (patterns[labels] + generator.uniform(0, 95, (count, 5, 5))).astype(np.uint8)
    np.savez(root / "images.npz", name=np.array("patterns"), **arrays)
    regularised = ["drop_input=0.1", "drop_hidden=0.2", "max_norm=3", "epochs=25"]
    assert train(root, "teacher_s1", "--label", "teacher", settings=regularised) == 0
    return root


def train(root, name, *words, settings=()):
    data = ["--data", str(root / "images.npz"), "--out", str(root / "exp" / name)]
    return mnist(["train", *data, *words, "--set", *SET, *settings])


def test_one_update_by_hand(tmp_path):
    """(1 - a) CE + a T^2 KL on a whole transfer set of equal images, and Adam's first step of it."""
    torch.manual_seed(1)
    images = torch.randint(256, (1, 2, 3), dtype=torch.uint8).repeat(4, 1, 1)
    labels, soft = torch.tensor([1, 1, 1, 1]), torch.randn(1, 10).log_softmax(1).repeat(4, 1)
    settings = ImageSettings(
        hidden=5, layers=1, epochs=1, batch=4, rate=0.5, warmup=0, temperature=3.0, soft_weight=0.8
    )
    model = Classifier(6, 5, 1, 10, 255)
    torch.nn.init.normal_(model.layers[-1].weight)
    loop = training.Loop(model, settings, Images(images, labels).inputs, labels, soft, tmp_path)
    before = model.layers[-1].bias.detach().clone()
    z = model(images.flatten(1)).detach()[0]
    q, p = (soft[0] / 3).softmax(0), (z / 3).softmax(0)
    expected = -0.2 * z.log_softmax(0)[1] + 0.8 * 9 * (q * (q / p).log()).sum()
    gradient = 0.2 * (z.softmax(0) - F.one_hot(torch.tensor(1), 10)) + 0.8 * 3 * (p - q)
    loop.set_rate(0.0)
    assert loop.update(torch.arange(4)) == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(model.layers[-1].bias.grad, gradient, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model.layers[-1].bias.detach(), before - 0.5 * gradient.sign(), rtol=1e-4, atol=1e-4)


def test_the_rate_rises_and_falls(tmp_path):
    settings = ImageSettings(hidden=2, epochs=1, rate=1.0, warmup=0.2)
    data = Images(torch.zeros(4, 1, 1, dtype=torch.uint8), torch.zeros(4, dtype=torch.long))
    loop = training.Loop(Classifier(1, 2, 1, 10), settings, data.inputs, data.labels, None, tmp_path)
    found = []
    for done in (0.0, 0.1, 0.2, 0.6, 0.999):
        loop.set_rate(done)
        found.append(loop.optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([0.01, 0.5, 1.0, 0.5, 0.01])


def test_a_student_learns_its_teacher(root):
    """From soft targets alone: the test images are answered as the teacher answers them, by logits alike at T = 20."""
    assert (
        train(root, "soft_s1", "--teachers", str(root / "exp/teacher_s1"), settings=["soft_weight=1", "epochs=30"]) == 0
    )
    teacher, student = (np.load(root / "exp" / name / "logits.npz") for name in ("teacher_s1", "soft_s1"))
    assert teacher["test"].shape == (200, 10) and student["train"].shape == (400, 10)
    assert (teacher["test"].argmax(1) == student["test"].argmax(1)).mean() > 0.9
    centred = [one["train"] - one["train"].mean(1, keepdims=True) for one in (teacher, student)]
    assert np.corrcoef(centred[0].ravel(), centred[1].ravel())[0, 1] > 0.98
    record = read_json(root / "exp/soft_s1/kdasr.json")
    assert record["teachers"] == ["teacher_s1"] and record["temperature"] == 20 and record["classes"] == list(range(10))
    assert record["errors"] == (student["test"].argmax(1) != np.arange(200) % 10).sum() and record["tested"] == 200
    assert record["parameters"] == 25 * 24 + 24 + 24 * 24 + 24 + 24 * 10 + 10


def test_transfer_sets_without_classes(root, capsys):
    """What is left out is not in the training; the teacher's soft targets are those of the images that are."""
    teacher = ["--teachers", str(root / "exp/teacher_s1")]
    assert train(root, "without3_s1", *teacher, "--without", "3") == 0
    assert train(root, "only78_s1", *teacher, "--only", "7", "8") == 0
    records = [read_json(root / "exp" / name / "kdasr.json") for name in ("without3_s1", "only78_s1")]
    assert [one["images"] for one in records] == [360, 80]
    assert [one["classes"] for one in records] == [[0, 1, 2, 4, 5, 6, 7, 8, 9], [7, 8]]
    for words, said in ((("--without", "10"), "class 10, expected 0 to 9"), (("--without", *"0123456789"), "no class")):
        assert train(root, "bad_s1", *words) == 1
        assert said in capsys.readouterr().err


def noted(monkeypatch):
    """What the next trainings' loops begin with; they end at once."""
    seen = {}

    def begin(loop, model, settings, inputs, labels, soft, *_):
        seen.update(model=model, inputs=inputs, labels=labels, soft=soft, settings=settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(training.Loop, "__init__", begin)
    return seen


def test_a_training_begins_with_its_images_targets_and_weights(root, monkeypatch):
    """Soft targets by the image, also where classes are left out; images that move; weights by the seed."""
    arrays, seen = np.load(root / "images.npz"), noted(monkeypatch)
    logits = torch.from_numpy(np.load(root / "exp/teacher_s1/logits.npz")["train"])
    weights = []
    for seed, jitter, only in (("1", 0, [7, 2]), ("1", 1, [2]), ("2", 0, list(range(10)))):
        words = ["--teachers", str(root / "exp/teacher_s1"), "--only", *map(str, only), "--seed", seed]
        assert train(root, "noted_s1", *words, settings=[f"jitter={jitter}"]) == 130
        (root / "exp/noted_s1/settings.json").unlink()
        chosen = torch.from_numpy(np.isin(arrays["train_labels"], only))
        images = torch.from_numpy(arrays["train_images"])[chosen]
        assert seen["labels"].tolist() == arrays["train_labels"][chosen].tolist()
        torch.testing.assert_close(seen["soft"], logits[chosen].log_softmax(1))
        given = seen["inputs"](torch.zeros(300, dtype=torch.long))
        assert len({one.numpy().tobytes() for one in given}) == (1 + 2 * jitter) ** 2
        if not jitter:
            assert torch.equal(seen["inputs"](torch.arange(len(images))), images.flatten(1))
        x, layers = images[:5].flatten(1).float() / 255, list(seen["model"].layers)
        for layer in layers[:-1]:
            x = layer(x).relu()
        torch.testing.assert_close(seen["model"](images[:5].flatten(1)), layers[-1](x), rtol=1e-4, atol=1e-6)
        weights.append(layers[0].weight.detach().clone())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_logits_are_of_every_image_whatever_was_learnt_from(root):
    assert train(root, "only12_s1", "--only", "1", "2", settings=["epochs=2"]) == 0
    arrays, found = np.load(root / "images.npz"), np.load(root / "exp/only12_s1/logits.npz")
    weights = torch.load(root / "exp/only12_s1/model.pth")
    for part in ("train", "test"):
        x = torch.from_numpy(arrays[f"{part}_images"]).flatten(1).float() / 255
        for layer in range(3):
            x = x @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"]
            x = x.relu() if layer < 2 else x
        np.testing.assert_allclose(found[part], x.numpy(), rtol=1e-3, atol=1e-4)
    record = read_json(root / "exp/only12_s1/kdasr.json")
    assert record["errors"] == int((found["test"].argmax(1) != arrays["test_labels"]).sum())
    assert (record["temperature"], record["soft_weight"], record["teachers"], record["images"]) == (None, None, [], 80)


def test_a_training_goes_on_with_all_that_it_was_begun_with_alone(root, tmp_path, capsys, monkeypatch):
    """Each setting, option and file is changed, one at a time: refused by its name."""
    shutil.copy(root / "images.npz", tmp_path)
    teachers = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        logits = np.load(root / "exp/teacher_s1/logits.npz")["train"] + (name == "b")
        np.savez(tmp_path / name / "logits.npz", train=logits)
        teachers.append(str(tmp_path / name))
    base = {
        "--data": [str(tmp_path / "images.npz")], "--teachers": teachers, "--mean": ["geometric"], "--seed": ["1"],
        "--without": ["3"],
    }  # fmt: skip

    def call(options, *more):
        words = [word for name, values in options.items() for word in (name, *values)]
        return mnist(["train", *words, "--out", str(tmp_path / "out"), *more])

    def refused(what, *words):
        assert call(*words) == 1, (what, words)
        assert f"out: was begun with another {what} (" in capsys.readouterr().err, (what, words)

    noted(monkeypatch)
    assert call(base) == 130
    capsys.readouterr()
    for field in dataclasses.fields(ImageSettings):
        value = field.default + 1 if isinstance(field.default, int) else field.default / 2 + 0.01
        refused("settings", base, "--set", f"{field.name}={value}")
    refused("seed", base | {"--seed": ["2"]})
    refused("classes", base | {"--without": ["4"]})
    refused("classes", {name: values for name, values in base.items() if name != "--without"})
    refused("mean", base | {"--mean": ["arithmetic"]})
    refused("teachers", base | {"--teachers": teachers[::-1]})
    refused("teachers", base | {"--teachers": teachers[:1]})
    arrays = dict(np.load(tmp_path / "images.npz"))
    np.savez(tmp_path / "images.npz", **arrays | {"test_labels": arrays["test_labels"][::-1]})
    refused("data", base)


@pytest.mark.parametrize("number", range(10))
def test_classes_are_left_out_or_taken_alone(number):
    others = [one for one in range(10) if one != number]
    assert transfer_classes([number], []) == others and transfer_classes([], [number]) == [number]
    assert transfer_classes([], [9, number]) == sorted({9, number})
    assert transfer_classes([], []) == list(range(10)) and transfer_classes(others, []) == [number]
    for wrong in (-1, 10):
        with pytest.raises(UserError, match=f"class {wrong}, expected 0 to 9"):
            transfer_classes([number, wrong], [])
        with pytest.raises(UserError, match=f"class {wrong}, expected 0 to 9"):
            transfer_classes([], [number, wrong])


def test_specialists_have_what_belongs_to_them(root, monkeypatch):
    seen = {}

    def asked(settings, general, train, seen_of_train, test, said, out):
        seen.update(general=general, train=train, seen=seen_of_train, test=test, said=said)
        raise KeyboardInterrupt

    monkeypatch.setattr("image_specialists.beside", asked)
    words = ["--data", str(root / "images.npz"), "--generalist", str(root / "exp/teacher_s1")]
    assert mnist(["specialists", *words, "--out", str(root / "asked")]) == 130
    logits, weights = np.load(root / "exp/teacher_s1/logits.npz"), torch.load(root / "exp/teacher_s1/model.pth")
    assert (seen["seen"].numpy() == logits["train"]).all() and (seen["said"].numpy() == logits["test"]).all()
    assert (len(seen["train"].labels), len(seen["test"].labels)) == (400, 200)
    general = seen["general"]
    assert (general.largest, general.hidden, general.layers, general.name) == (255, 24, 2, "teacher")
    assert all(torch.equal(weights[name], general.weights[name]) for name in weights)


def test_killed_and_resumed_equals_uninterrupted(root, monkeypatch, capsys):
    settings = ["drop_input=0.1", "drop_hidden=0.3", "max_norm=1", "jitter=1"]
    teacher = ["--teachers", str(root / "exp/teacher_s1")]
    assert train(root, "whole_s1", *teacher, settings=settings) == 0
    monkeypatch.setattr(training, "SAVE_SECONDS", -1)
    plain = training.Loop.set_rate

    def killed(loop, done):
        if loop.epoch == 4:
            raise KeyboardInterrupt
        plain(loop, done)

    with monkeypatch.context() as patch:
        patch.setattr(training.Loop, "set_rate", killed)
        assert train(root, "parts_s1", *teacher, settings=settings) == 130
    assert not (root / "exp/parts_s1/kdasr.json").exists() and (root / "exp/parts_s1/checkpoint.pth").exists()
    assert train(root, "parts_s1", *teacher, settings=[*settings, "rate=0.02"]) == 1
    assert "was begun with another settings" in capsys.readouterr().err
    assert train(root, "parts_s1", *teacher, settings=settings) == 0
    whole, parts = (torch.load(root / f"exp/{name}_s1/model.pth") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert not (root / "exp/parts_s1/checkpoint.pth").exists()
    assert train(root, "parts_s1", *teacher, settings=settings) == 0
    assert "trained already" in capsys.readouterr().out


def test_an_ensemble_teaches_its_mean(root):
    assert train(root, "teacher_s2", "--label", "teacher", "--seed", "2") == 0
    names = [str(root / "exp" / f"teacher_s{seed}") for seed in (1, 2)]
    found = image_training.teacher_of(names, "arithmetic", 400)
    each = [torch.from_numpy(np.load(f"{name}/logits.npz")["train"]).softmax(1) for name in names]
    torch.testing.assert_close(found.exp(), (each[0] + each[1]) / 2)
    torch.testing.assert_close(image_training.teacher_of(names[:1], "geometric", 400).exp(), each[0])
    geometric = (each[0] * each[1]).sqrt()
    geometric /= geometric.sum(1, keepdim=True)
    torch.testing.assert_close(
        image_training.teacher_of(names, "geometric", 400).exp(), geometric, rtol=1e-3, atol=1e-5
    )
    assert (geometric - found.exp()).abs().max() > 0.01
    assert image_training.teacher_of([], "arithmetic", 400) is None


def test_what_is_missing_is_named(root, tmp_path, capsys):
    assert mnist(["train", "--data", str(tmp_path / "x.npz"), "--out", str(tmp_path / "y")]) == 1
    assert "make it first: local/images_data.py" in capsys.readouterr().err
    assert train(root, "bad_s1", "--teachers", str(tmp_path)) == 1
    assert f"{tmp_path}/logits.npz: no such file; train the teacher first" in capsys.readouterr().err
    np.savez(tmp_path / "logits.npz", train=np.zeros((3, 10), np.float32))
    assert train(root, "bad_s1", "--teachers", str(tmp_path)) == 1
    assert "has 3 training images, --data 400" in capsys.readouterr().err
    assert mnist(["report", "--data", str(root / "images.npz"), "--exp", str(tmp_path), "--out", "x"]) == 1
    assert "no network" in capsys.readouterr().err


def test_specialists_of_a_poor_generalist(root, capsys):
    assert train(root, "hard_s1", "--label", "student", settings=["hidden=4", "epochs=4"]) == 0
    words = ["--data", str(root / "images.npz"), "--generalist", str(root / "exp/hard_s1")]
    words += ["--out", str(root / "exp/specialists_s1"), "--batch", "40", "--epochs", "10", "--rate", "0.01"]
    assert mnist(["specialists", *words]) == 0
    found = read_json(root / "exp/specialists_s1/specialists.json")
    assert sorted(number for one in found["specialists"] for number in one["classes"]) == list(range(10))
    assert found["alone"] == read_json(root / "exp/hard_s1/kdasr.json")["errors"]
    assert found["together"] < found["alone"]
    capsys.readouterr()
    assert mnist(["specialists", *words, "--groups", "0"]) == 1
    assert "--groups, --best: expected 1 or more" in capsys.readouterr().err


def test_the_report_counts_what_the_networks_say(root, capsys):
    """The figures of the tables against the logits, counted here; needs the networks of the tests before it."""
    teacher = ["--teachers", str(root / "exp/teacher_s1"), "--label", "student"]
    for seed in ("1", "2"):
        assert train(root, f"small_hard_s{seed}", "--label", "student", "--seed", seed, settings=["hidden=6"]) == 0
        for temperature in (1, 20):
            settings = ["hidden=6", f"temperature={temperature}"]
            assert train(root, f"small_T{temperature}_s{seed}", *teacher, "--seed", seed, settings=settings) == 0
    shutil.rmtree(root / "exp/without3_s1", ignore_errors=True)  # of a test before this one, and of the same kind
    assert train(root, "no3_s1", *teacher, "--without", "3") == 0
    capsys.readouterr()
    out = root / "RESULTS.md"
    words = ["--data", str(root / "images.npz"), "--exp", str(root / "exp"), "--out", str(out)]
    assert mnist(["report", *words, "--picture", str(root / "T.svg"), "--command", "./run.sh"]) == 0
    text = out.read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    labels = np.arange(200) % 10

    def errors(name):
        return (np.load(root / "exp" / name / "logits.npz")["test"].argmax(1) != labels).sum()

    found = next(row for row in rows if row[:3] == ["student, 2x6", "teacher", "20"])
    counts = [errors(f"small_T20_s{seed}") for seed in (1, 2)]
    assert found[3] == "-"  # the paper's figures are of MNIST
    assert found[4] == f"{np.mean(counts):.1f} ± {np.std(counts, ddof=1):.1f}" and found[6] == "2"
    assert found[5] == f"{np.mean(counts) / 2:.2f}"
    plain, best, fair = [row for row in rows if row[0] == "no 3 (360 images)"][-3:]
    assert plain[4] == str(errors("no3_s1")) and plain[3] == "-" and best[3][0] in "+-"
    threes = np.load(root / "exp/no3_s1/logits.npz")["test"][labels == 3]
    assert plain[6] == f"{100 * (threes.argmax(1) == 3).mean():.1f} %"
    threes[:, 3] += float(best[3])
    assert float(best[6].split()[0]) == pytest.approx(100 * (threes.argmax(1) == 3).mean(), abs=5.1)
    assert int(best[4]) <= int(plain[4]) and int(best[4]) <= int(fair[4])
    assert re.search(r"2x6, T = 20: [+-][\d.]+ errors against the same network on the labels \(Welch", text)
    assert "patterns" in text.splitlines()[0] and "CPU minutes" in text and "./run.sh" in text
    every = [one["cpu_seconds"] for group in read(root / "exp") for one in group.members]
    assert f"All networks together: {sum(every) / 60:.1f} CPU minutes." in text
    picture = ET.parse(root / "T.svg").getroot()
    assert picture.tag.endswith("svg") and "2x6" in (root / "T.svg").read_text()
