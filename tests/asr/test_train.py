"""`kdasr train`: what it refuses before training, and checkpoints that are whole."""

import argparse
import dataclasses
import shutil
from itertools import pairwise

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from tiny_training import write_place

from kdasr import checkpoints
from kdasr.asr import train, training
from kdasr.asr.lists import check_soft_targets, prepare_data
from kdasr.asr.settings import Distillation
from kdasr.asr.trainer import espnet_options, updates
from kdasr.asr.training import Training, claim_settings, describe, distillation, soft_tables
from kdasr.asr.worker import ours, whole
from kdasr.bin import train as command
from kdasr.errors import UserError
from kdasr.files import read_json, read_table, write_json


def test_a_checkpoint_is_whole_or_the_old_one(tmp_path):
    path = tmp_path / "checkpoint.pth"
    whole(torch.save)({"epoch": 1}, path)

    def dies(value, stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole(dies)({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint.pth", "checksums.json"]
    checkpoints.check_noted(path)


def test_a_checkpoint_that_was_changed_is_not_gone_on_from(tmp_path):
    """Killed before or after the rename, the noted checksums fit; a flipped bit does not."""
    path = tmp_path / "checkpoint.pth"
    save = whole(torch.save)
    save({"epoch": 1}, path)
    first = path.read_bytes()
    save({"epoch": 2}, path)
    checkpoints.check_noted(path)
    second = path.read_bytes()
    path.write_bytes(first)  # as if the second rename had not come
    checkpoints.check_noted(path)
    for place in range(0, len(second), 97):
        path.write_bytes(second[:place] + bytes([second[place] ^ 4]) + second[place + 1 :])
        with pytest.raises(UserError, match=r"checkpoint\.pth: was changed after it was written"):
            checkpoints.check_noted(path)


def test_another_runs_checkpoint_is_not_resumed(tmp_path):
    claim_settings(tmp_path, {"seed": 1})
    claim_settings(tmp_path, {"seed": 2})  # nothing was trained yet
    (tmp_path / "checkpoint.pth").touch()
    claim_settings(tmp_path, {"seed": 2})
    with pytest.raises(UserError, match="begun with other settings"):
        claim_settings(tmp_path, {"seed": 3})


def run(tmp_path, *options):
    from kdasr.cli import main

    return main(
        [
            "train",
            "--config",
            str(tmp_path / "c.yaml"),
            "--train",
            str(tmp_path / "train"),
            "--valid",
            str(tmp_path / "train"),
            "--tokens",
            str(tmp_path / "char"),
            "--out",
            str(tmp_path / "exp"),
            *options,
        ]
    )


@pytest.fixture
def data(tmp_path):
    (tmp_path / "c.yaml").write_text("encoder: conv_rnn\n")
    (tmp_path / "char").mkdir()
    (tmp_path / "char" / "tokens.txt").write_text("<blank>\n<unk>\nA\n<sos/eos>\n")
    (tmp_path / "char" / "nlsyms.txt").write_text("")
    write_json(tmp_path / "char" / "tokens.json", {"type": "char"})
    (tmp_path / "train").mkdir()
    for table in ("feats.scp", "utt2num_frames"):
        (tmp_path / "train" / table).write_text("u1 1\n")
    return tmp_path


def test_untranscribed_audio_needs_targets(data, capsys):
    assert run(data) == 1
    assert "untranscribed audio needs --targets" in capsys.readouterr().err
    assert not (data / "exp" / "config.yaml").exists()


def test_text_without_features_is_named(data, capsys):
    (data / "train" / "text").write_text("u1 A\nu2 A\n")
    assert run(data) == 1
    assert "u2 (and 0 more) has no features" in capsys.readouterr().err


def test_targets_must_have_been_made(data, capsys):
    assert run(data, "--targets", str(data / "none")) == 1
    assert "select targets first" in capsys.readouterr().err


# What a run depends on: each option, each input file and each distillation setting is changed, one at a time.

# Options that change no weight: where it is written, what the report says, how many processes share a batch.
FLAGS = {"baseline": (), "oracle": (), "role": ("student",), "learned_from": ("crossfit",)}
NO_INPUTS = {"help", "out", "ngpu", "processes", "nodes", "label", "teacher", "recipe", "network", *FLAGS}
CHANGED = {
    "config": ("--config", "other.yaml"),
    "train": ("--train", "train", "valid"),
    "valid": ("--valid", "train"),
    "tokens": ("--tokens", "other_char"),
    "targets": ("--targets", "other_targets"),
    "kd": ("--kd", "word_weight=0.4"),
    "seed": ("--seed", "2"),
    "resample": ("--resample",),
    "channel": ("--channel", "2"),
    "init": ("--init", "teachers/1"),
    "mask": ("--mask", "other_mask.pth"),
    "espnet": ("--", "--max_epoch", "4"),
}
# Files that are not read for training, or of which another file tells; archives are many gigabytes.
NOT_LOOKED_AT = {
    "train/feats.ark": "its statistics tell, in cmvn.npz",
    "valid/feats.ark": "its statistics tell, in cmvn.npz",
    "train/feats.scp": "names the archives, which may be moved",
    "valid/feats.scp": "names the archives, which may be moved",
    "train/text": "with targets no reference is read",
    "targets/text": "the first hypothesis in words",
    "targets/targets.json": "of its own digests",
    "targets/soft.scp": "names the archive, which is looked at",
    "targets/ctc.scp": "names the archive, which is looked at",
}


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Every input that a run can have, and others of each."""
    write_place(tmp_path, utterances=3)
    monkeypatch.chdir(tmp_path)
    for name in ("soft", "ctc"):
        for end in ("ark", "scp"):
            (tmp_path / f"targets/{name}.{end}").write_text(f"{name} {end}")
    (tmp_path / "char/bpe.model").write_text("pieces")
    for number in "012":
        (tmp_path / "teachers" / number).mkdir(parents=True)
        (tmp_path / "teachers" / number / "valid.acc.ave.pth").write_text(f"weights {number}")
    (tmp_path / "mask.pth").write_text("mask")
    (tmp_path / "other_mask.pth").write_text("other mask")
    (tmp_path / "other.yaml").write_text((tmp_path / "c.yaml").read_text() + "# other\n")
    for name in ("char", "targets"):
        shutil.copytree(tmp_path / name, tmp_path / f"other_{name}")
    with (tmp_path / "other_char/tokens.txt").open("a") as stream:
        stream.write("Z\n")
    with (tmp_path / "other_targets/hyps").open("a") as stream:
        stream.write("more 2\n")
    return tmp_path


def parsed(*options):
    """The arguments of a run with every option; those given here are over the others."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = ["--config", "c.yaml", "--train", "train", "--valid", "valid", "--tokens", "char", "--out", "exp/m"]
    given += ["--targets", "targets", "--init", "teachers/0", "--mask", "mask.pth", "--kd", "word_weight=0.5"]
    return command.read_arguments(parser.parse_args([*given, *options]))


STORED = ("--kd", "word_weight=0.5", "ctc_word_weight=0.5")
ASKED = ("--kd", "word_weight=0.5", "teachers=[teachers/1, teachers/2]")


def test_every_option_is_part_of_what_a_model_depends_on(inputs):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = {action.dest for action in parser._actions}
    of_text = {"src_tokens"}  # tests/mt/test_mt_training.py
    assert options == NO_INPUTS | CHANGED.keys() | of_text, "a new option: does a model depend on it?"
    made = describe(parsed())
    assert describe(parsed()) == made
    for name, change in CHANGED.items():
        assert describe(parsed(*change)) != made, name
    for name in NO_INPUTS - {"help"}:
        assert describe(parsed(f"--{name}", *FLAGS.get(name, ("3",)))) == made, name


@pytest.mark.parametrize("kd", [STORED, ASKED], ids=["stored", "asked"])
def test_every_input_file_is_part_of_what_a_model_depends_on(inputs, kd):
    made = describe(parsed(*kd))
    own = [inputs / "c.yaml", inputs / "mask.pth", inputs / "teachers/0/valid.acc.ave.pth"]
    own += [path for name in ("train", "valid", "char", "targets") for path in (inputs / name).iterdir()]
    if kd is ASKED:
        own += [inputs / f"teachers/{number}/valid.acc.ave.pth" for number in (1, 2)]
    changed = 0
    for path in own:
        name, before = str(path.relative_to(inputs)), path.read_bytes()
        after = before.replace(b'"char"', b'"bpe"') if name == "char/tokens.json" else before + b" "
        path.write_bytes(after)
        now = describe(parsed(*kd))
        if name in NOT_LOOKED_AT or (kd is ASKED and name in ("targets/soft.ark", "targets/ctc.ark")):
            assert now == made, name
        else:
            assert now != made, name
            changed += 1
        path.write_bytes(before)
    assert changed >= 12


def test_the_second_set_is_looked_at_like_the_first(inputs):
    shutil.copytree(inputs / "train", inputs / "more")
    made = describe(parsed("--train", "train", "more"))
    for name in ("utt2num_frames", "cmvn.npz"):
        before = (inputs / "more" / name).read_bytes()
        (inputs / "more" / name).write_bytes(before + b" ")
        assert describe(parsed("--train", "train", "more")) != made, name
        (inputs / "more" / name).write_bytes(before)
    (inputs / "more/cmvn.npz").unlink()
    assert describe(parsed("--train", "train", "more")) != made
    args = parsed("--train", "train", "more")
    args = dataclasses.replace(args, targets=None)
    made = describe(args)
    (inputs / "more/text").write_text("train00 A\n")
    assert describe(args) != made


OTHER_KD = {
    "word_weight": 0.25, "temperature": 3.0, "divergence": "js", "soft_k": 3, "teachers": "[teachers/1]",
    "ensemble": "geometric", "ensemble_weights": "[1.0]", "ctc_word_weight": 0.125, "ctc_hyps": "best",
    "mask": "other_mask.pth", "targets": "t", "teacher": "u", "teacher_frames": "[480.0, 640, 16000]",
    "student_frames": "[680.0, 640, 16000]", "risk_weight": 0.5, "risk_beam": 3, "risk_cost": "bleu", "risk_alpha": 2.0,
    "risk_maxlenratio": 1.5, "cr_weight": 0.2, "cr_time_masks": 2.5,
    "inter_weight": 0.3, "inter_layers": "[1]",
}  # fmt: skip


def test_every_distillation_setting_is_part_of_what_a_model_depends_on(inputs):
    """From the command line and from the config; --kd is over the config."""
    assert OTHER_KD.keys() == {field.name for field in dataclasses.fields(Distillation)}
    made = describe(parsed("--kd", "word_weight=0.5"))
    config = yaml.safe_load((inputs / "c.yaml").read_text())
    for name, value in OTHER_KD.items():
        base = ["word_weight=0.5"] + (["teachers=[teachers/1]"] if name == "ensemble_weights" else [])
        assert describe(parsed("--kd", *base, f"{name}={value}")) != made, name
        conf = {name: yaml.safe_load(str(value))} | ({"teachers": ["a"]} if name == "ensemble_weights" else {})
        (inputs / "kd.yaml").write_text(yaml.safe_dump(config | {"kd_conf": conf}))
        read = distillation(parsed("--config", "kd.yaml", "--kd", "soft_k=5"))
        value = tuple(conf[name]) if isinstance(conf[name], list) else conf[name]
        assert getattr(read, name) == (5 if name == "soft_k" else value) and read.soft_k == 5


MADE = {"config": "a", "seed": 1, "train": ["b"], "valid statistics": [None], "hypotheses": "c", "kd": ["d"]}


@pytest.mark.parametrize("name", MADE)
def test_a_finished_model_and_a_begun_one_are_of_their_settings_alone(tmp_path, name, monkeypatch, capsys):
    """Another value is refused, and a setting more or fewer; but of older records some say nothing."""
    settings = {}
    monkeypatch.setattr(train, "describe", lambda _: settings["now"])
    monkeypatch.setattr(train, "check_features", lambda *_: None)  # there are none
    fewer = {key: value for key, value in MADE.items() if key != name}
    for made, now in ((MADE, MADE | {name: "other"}), (MADE, fewer), (fewer, MADE)):
        older = made is fewer and name in training.LATER
        settings["now"], args = now, Training("c", (), "v", "t", str(tmp_path / "m"))
        write_json(tmp_path / "m/kdasr.json", {"settings": made, "parameters": 5})
        if older:
            train.run(args)
            assert "trained already (5 parameters)" in capsys.readouterr().out
        else:
            with pytest.raises(UserError, match=f"holds a model of other {name}; remove it"):
                train.run(args)
        assert read_json(tmp_path / "m/kdasr.json") == {"settings": made, "parameters": 5}
        (tmp_path / "begun").mkdir(exist_ok=True)
        (tmp_path / "begun/checkpoint.pth").touch()
        write_json(tmp_path / "begun/settings.json", made)
        if older:
            claim_settings(tmp_path / "begun", now)
            assert read_json(tmp_path / "begun/settings.json") == now
        else:
            with pytest.raises(UserError, match="begun with other settings"):
                claim_settings(tmp_path / "begun", now)
            assert read_json(tmp_path / "begun/settings.json") == made
    settings["now"] = fewer if name not in training.LATER else MADE
    train.run(args)
    assert "trained already (5 parameters)" in capsys.readouterr().out


def test_nothing_of_a_run_that_never_began_is_left(inputs, capsys):
    """Killed before its first checkpoint; then other tokens, no statistics and no targets are asked for."""
    for path in inputs.glob("targets/*.scp"):
        path.unlink()
    out, args = inputs / "exp/m", parsed("--kd", "soft_k=3")
    claim_settings(out, describe(args))
    lists = prepare_data(args, out)
    assert read_table(lists / "train/hyps").keys() == read_table(inputs / "targets/hyps").keys()
    assert (out / "cmvn.npz").is_file()
    (inputs / "char/nlsyms.txt").write_text("AB\n")
    (inputs / "train/cmvn.npz").unlink()
    args = dataclasses.replace(args, targets=None, kd=())
    claim_settings(out, describe(args))
    prepare_data(args, out)
    assert read_json(out / "settings.json") == describe(args)
    assert (out / "tokens/nlsyms.txt").read_text() == "AB\n"
    assert not (out / "cmvn.npz").exists() and not (lists / "train/hyps").exists()
    options = espnet_options(args, out, lists)
    assert "global_mvn" not in options and not any("kd_hyps" in word for word in options)
    (out / "checkpoint.pth").touch()  # a run that began has its own
    (inputs / "char/nlsyms.txt").write_text("BA\n")
    prepare_data(args, out)
    assert (out / "tokens/nlsyms.txt").read_text() == "AB\n"


def test_what_espnet_is_told(inputs):
    """Sizes for batches by the tokens of each text, and each input by the name that the model knows it by."""
    out, args = (
        inputs / "exp/m",
        parsed("--seed", "7", "--ngpu", "2", *STORED, "--teacher", "T", "--", "--max_epoch", "9"),
    )
    args = dataclasses.replace(args, targets=None, kd=())
    lists = prepare_data(args, out)
    texts = {part: read_table(inputs / part / "text") for part in ("train", "valid")}
    frames = {part: read_table(inputs / part / "utt2num_frames") for part in ("train", "valid")}
    for part in ("train", "valid"):
        assert read_table(lists / part / "text") == texts[part]
        assert read_table(lists / part / "speech_shape") == {key: f"{frames[part][key]},8" for key in texts[part]}
        assert read_table(lists / part / "text_shape") == {key: f"{len(text)},7" for key, text in texts[part].items()}
    options = espnet_options(args, out, lists)
    pairs = list(pairwise(options))
    assert ("--seed", "7") in pairs and ("--ngpu", "2") in pairs and ("--resume", "true") in pairs
    assert ("--input_size", "8") in pairs and ("--kd_conf", 'teacher="T"') in pairs
    assert options[-2:] == ["--max_epoch", "9"]
    for part in ("train", "valid"):
        assert (f"--{part}_shape_file", f"{lists}/{part}/speech_shape") in pairs
        assert (f"--{part}_data_path_and_name_and_type", f"{lists}/{part}/text,text,text") in pairs
    args = parsed(*STORED)
    write_json(lists / "train/hyps", {})
    told = [word for name, word in pairwise(espnet_options(args, out, lists)) if "data_path" in name]
    assert {word.rpartition("/")[2] for word in told if "/train/" in word} == {
        "feats.scp,speech,kaldi_ark", "text,text,text", "hyps,kd_hyps,text_int", "hyp_lens,kd_hyp_lens,text_int",
        "weights,kd_weights,text_float", "soft.scp,kd_soft,kaldi_ark", "ctc.scp,kd_ctc,kaldi_ark",
    }  # fmt: skip
    assert {word.rpartition("/")[2] for word in told if "/valid/" in word} == {
        "feats.scp,speech,kaldi_ark",
        "text,text,text",
    }


def test_updates_are_those_of_the_parameter_that_moved_most(tmp_path):
    states = [{"state": {0: {"step": torch.tensor(7.0)}, 1: {"step": torch.tensor(9.0)}}}, {"state": {}}]
    torch.save({"optimizers": states}, tmp_path / "checkpoint.pth")
    assert updates(tmp_path) == 9
    torch.save({"optimizers": [{"state": {}}]}, tmp_path / "checkpoint.pth")
    assert updates(tmp_path) == 0


def test_what_the_trainer_loads_is_compared_first(tmp_path):
    """From a file, with its checksum and without running anything; from a stream, as torch does."""
    load, path = ours(torch.load), tmp_path / "1epoch.pth"
    whole(torch.save)({"w": torch.ones(2)}, path)
    assert load(path)["w"].tolist() == load(str(path))["w"].tolist() == [1.0, 1.0]
    with path.open("rb") as stream:
        assert load(stream)["w"].tolist() == [1.0, 1.0]
    torch.save({"w": torch.zeros(2)}, path)
    with pytest.raises(UserError, match=r"1epoch\.pth: was changed after it was written"):
        load(path)


def test_the_noted_checksum_is_that_of_the_whole_file(tmp_path):
    """Not of what has left the program's buffers so far."""

    def save(value, stream):
        stream.write(b"short")

    whole(save)({}, tmp_path / "a.pth")
    assert (tmp_path / "a.pth").read_bytes() == b"short"
    checkpoints.check_noted(tmp_path / "a.pth")
    assert read_json(tmp_path / checkpoints.NOTES)["a.pth"] == [checkpoints.sha256(tmp_path / "a.pth")]


@pytest.mark.parametrize(("name", "setting"), [("soft", "word_weight"), ("ctc", "ctc_word_weight")])
def test_reverse_kl_needs_all_tokens_of_either_table(inputs, name, setting):
    for kept in (3, 6, 7):
        place = inputs / "targets" / name
        kaldiio.save_ark(f"{place}.ark", {"train00": np.zeros((2, 2 * kept), np.float32)}, scp=f"{place}.scp")
        for divergence in ("kl", "reverse_kl"):
            args = parsed("--kd", f"{setting}=0.5", f"divergence={divergence}")
            if divergence == "reverse_kl" and kept < 7:
                with pytest.raises(UserError, match=rf"{name}\.scp: keeps {kept} of 7 tokens; reverse_kl needs all"):
                    check_soft_targets(args, 7)
            else:
                check_soft_targets(args, 7)
    assert soft_tables(parsed("--kd", f"{setting}=0.5")) == [name]
    assert soft_tables(parsed("--kd", f"{setting}=0.5", "teachers=[teachers/1]")) == []
    (inputs / f"targets/{name}.scp").unlink()
    check_soft_targets(parsed("--kd", f"{setting}=0.5", "teachers=[teachers/1]"), 7)
    with pytest.raises(UserError, match=f"has no {name}.scp to learn distributions from"):
        check_soft_targets(parsed("--kd", f"{setting}=0.5"), 7)


def test_several_sets_are_trained_on_together(inputs, capsys):
    """Of each its own text and frames; who has no text is left out, and counted."""
    args = parsed("--train", "train", "valid", "--valid", "train", "--kd", "soft_k=0")
    args = dataclasses.replace(args, targets=None)
    rows = (inputs / "train/text").read_text().splitlines()
    (inputs / "train/text").write_text("\n".join(rows[1:]) + "\n")
    lists = prepare_data(args, inputs / "exp/m")
    assert "1 of 9 utterances have no text, left out" in capsys.readouterr().out
    expected = {}
    for part in ("train", "valid"):
        frames = read_table(inputs / part / "utt2num_frames")
        expected |= {key: f"{frames[key]},8" for key in read_table(inputs / part / "text")}
    assert len(expected) == 8 and read_table(lists / "train/speech_shape") == expected
    assert read_table(lists / "valid/text") == read_table(inputs / "train/text")
    assert (inputs / "exp/m/cmvn.npz").read_bytes() == (inputs / "train/cmvn.npz").read_bytes()
    np.savez(inputs / "train/cmvn.npz", count=1, sum=np.zeros(9), sum_square=np.ones(9))
    with pytest.raises(UserError, match=r"cmvn\.npz: is of other features than train/feats\.scp"):
        prepare_data(args, inputs / "exp/m")
    (inputs / "valid/utt2num_frames").write_text("valid00 20\n")
    with pytest.raises(UserError, match="train: valid01 has text, and no features or frames"):
        prepare_data(args, inputs / "exp/m")
