"""`kdasr train` on targets: soft ones from files and from a teacher beside it, and what it refuses before it starts."""

import argparse
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from tiny_training import BINS, CONFIG, TOKENS, train, words, write_place

from kdasr.cli import main
from kdasr.data.front_ends import front_end
from kdasr.files import read_json, read_table, write_json, write_table

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


def test_a_teacher_of_words_teaches_one_of_words(tmp_path):
    root = write_place(tmp_path, max_epoch=1, specaug=None)
    (root / "char/tokens.json").write_text('{"type": "word"}')
    for part in ("train", "valid", "targets"):  # each letter is a word
        folder = root / part
        write_table(folder / "text", {key: " ".join(text) for key, text in read_table(folder / "text").items()})
    given = words(root, root / "teacher")
    at = given.index("--targets")
    assert main(given[:at] + given[at + 2 :]) == 0
    assert main(["tokens", "--model", str(root / "teacher"), "--out", str(root / "of_teacher")]) == 0
    assert read_json(root / "of_teacher/tokens.json")["type"] == "word"
    assert (root / "of_teacher/tokens.txt").read_bytes() == (root / "char/tokens.txt").read_bytes()
    soft = ["soft", "--model", root / "teacher", "--targets", root / "targets", "--data", root / "train", "--ctc"]
    assert main([*map(str, soft)]) == 0
    assert train(root, root / "student", *KD) == 0
    config = yaml.safe_load((root / "student/config.yaml").read_text())
    assert (config["token_type"], config["bpemodel"], config["token_list"]) == ("word", None, TOKENS)
    said = ["decode", "--model", root / "student", "--data", root / "valid", "--out", root / "d", "--minlenratio", 0.5]
    assert main([*map(str, said)]) == 0
    texts, tokens = (read_table(root / "d" / name, empty=True) for name in ("text", "token"))
    assert texts == tokens and any(" " in text for text in texts.values())


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


FRAME_KD = ("--kd", "ctc_word_weight=0.5")
CONFORMER = {
    "encoder": "conformer",
    "encoder_conf": {
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 8,
        "num_blocks": 1,
        "cnn_module_kernel": 3,
    },
}
STOCK = {"frontend": "default", "frontend_conf": {"n_fft": 512, "hop_length": 160, "n_mels": BINS}, "input_size": None}


def write_teacher(root, name, **network):
    """A model with random weights, as ESPnet's trainer leaves it."""
    from kdasr.networks.load import register

    config = register().get_default_config() | CONFIG | network
    config |= {"token_list": TOKENS, "token_type": "char", "specaug": None, "normalize": None}
    (root / name).mkdir()
    model = register().build_model(argparse.Namespace(**config))
    torch.save(model.state_dict(), root / name / "valid.acc.ave.pth")
    (root / name / "config.yaml").write_text(yaml.safe_dump(config))
    return root / name


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """Targets, features that say how kdasr made them, and their audio."""
    root = write_place(tmp_path_factory.mktemp("heard"), utterances=8, max_epoch=1, specaug=None)
    random = np.random.default_rng(2)
    for part in ("train", "valid"):
        described = {"made_by": "kdasr feats", "features": front_end("fbank", BINS).described(16000), "rate": 16000}
        write_json(root / part / "manifest.json", described)
        audio = {}
        for key, frames in read_table(root / part / "utt2num_frames").items():
            samples = random.normal(0, 1000, 400 + 160 * (int(frames) - 1) + 159).astype(np.int16)
            soundfile.write(root / part / f"{key}.wav", samples, 16000)
            audio[key] = str(root / part / f"{key}.wav")
        write_table(root / part / "wav.scp", audio)
    return root


def frames_learnt(out):
    """When teacher's and student's frames are, as the student's configuration says it."""
    conf = yaml.safe_load((out / "config.yaml").read_text())["kd_conf"]
    return conf.get("teacher_frames"), conf.get("student_frames")


@pytest.mark.parametrize(("network", "first"), [({}, 200.0), (CONFORMER, 680.0)], ids=["conv_rnn", "conformer"])
def test_students_learn_from_the_frames_of_a_waveform_teacher(heard, tmp_path, network, first, capsys):
    """A stock conformer, whose STFT is padded, so that it has a frame more or less than they."""
    root = shutil.copytree(heard, tmp_path / "p")
    teacher = write_teacher(root, "teacher", **CONFORMER, **STOCK)
    soft = ["soft", "--model", teacher, "--targets", root / "targets", "--data", root / "train", "--ctc"]
    assert main([*map(str, soft)]) == 0
    config = yaml.safe_load((root / "c.yaml").read_text()) | network
    (root / "c.yaml").write_text(yaml.safe_dump(config))
    assert train(root, root / "student", *FRAME_KD) == 0
    assert frames_learnt(root / "student") == ([480.0, 640.0, 16000], [first, 640.0, 16000])
    said = f"teacher's frames every 40 ms from 30 ms; student's frames every 40 ms from {1000 * first / 16000:g} ms"
    assert f"{root}/student: {said}, each of which takes the teacher's nearest in time\n" in capsys.readouterr().out


def test_of_old_soft_targets_the_student_needs_as_many_frames(place, tmp_path, capsys):
    """They do not say when their frames are."""
    root = shutil.copytree(place, tmp_path / "p", ignore=shutil.ignore_patterns("stored", "asked", "hard"))
    assert train(root, root / "timed", *FRAME_KD) == 0
    assert "every 4 frames of the features from frame 0; student's" in capsys.readouterr().out
    record = read_json(root / "targets" / "soft.json")
    assert record.pop("frames") == {"first": 0.0, "step": 4.0, "rate": 0}
    write_json(root / "targets" / "soft.json", record)
    assert train(root, root / "old", *FRAME_KD) == 0
    assert "does not say when the teacher's frames are: the student needs as many" in capsys.readouterr().out
    assert frames_learnt(root / "old") == (None, None)
    best = [root / name / "valid.acc.ave.pth" for name in ("timed", "old")]
    one, other = (torch.load(path, map_location="cpu", weights_only=True) for path in best)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_frames_that_cannot_be_matched_are_refused_before_training(place, tmp_path, capsys):
    root = shutil.copytree(place, tmp_path / "p", ignore=shutil.ignore_patterns("stored", "asked", "hard"))
    write_json(root / "targets" / "soft.json", {"frames": {"first": 480.0, "step": 640.0, "rate": 16000}})
    assert train(root, root / "out", *FRAME_KD) == 1
    assert "the student reads features that kdasr feats did not make" in capsys.readouterr().err
    teachers = [write_teacher(root, "one", input_size=BINS), write_teacher(root, "two", **CONFORMER, input_size=BINS)]
    assert train(root, root / "out", *FRAME_KD, f"teachers=[{teachers[0]},{teachers[1]}]") == 1
    assert "two: has frames every 4 frames of the features from frame 3" in capsys.readouterr().err
    assert not (root / "out" / "checkpoint.pth").exists()


def test_teachers_beside_the_student_meet_it_by_time(heard, tmp_path):
    root = shutil.copytree(heard, tmp_path / "p")
    teacher = write_teacher(root, "teacher", **CONFORMER, input_size=BINS)
    assert train(root, root / "student", *FRAME_KD, f"teachers=[{teacher}]") == 0
    assert frames_learnt(root / "student") == ([680.0, 640.0, 16000], [200.0, 640.0, 16000])
