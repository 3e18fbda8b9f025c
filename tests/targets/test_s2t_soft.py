"""Soft targets of S2T models (OWSM): behind their prompt, over their students' tokens, in the frames of the audio."""

from __future__ import annotations

import kaldiio
import numpy as np
import s2t_models as models
import torch
import yaml

from kdasr.cli import main
from kdasr.files import read_json, read_lines, read_table, read_yaml, write_json, write_table
from kdasr.shards import digest

PARTS = ("frontend", "encoder", "decoder")
HYPS = {"a": [["S", "I", "X"], []], "b": [["T", "W", "X"], ["N", "N", "N", "W"]], "d": [["F"]]}


def soft(root, *more):
    words = ["--model", root / "model", "--targets", root / "targets", "--data", root / "audio", "--kept", 0, *more]
    return main(["soft", *map(str, words)])


def write_place(root, given=HYPS, **changes):
    """root/model, root/audio, and root/targets of hypotheses in the students' tokens: the model, its samples."""
    model, said = models.write_model(root / "model", **changes), models.write_audio(root / "audio")
    listed = models.students(model)
    ids = {key: [[listed.index(token) for token in hyp] for hyp in hyps] for key, hyps in given.items()}
    (root / "targets").mkdir()
    write_table(
        root / "targets/hyps", {key: " ".join(str(i) for hyp in hyps for i in hyp) for key, hyps in ids.items()}
    )
    lens = {key: " ".join(str(len(hyp)) for hyp in hyps) for key, hyps in ids.items()}
    write_table(root / "targets/hyp_lens", lens)
    assert main(["tokens", "--model", str(root / "model"), "--out", str(root / "tokens")]) == 0
    write_json(root / "targets/targets.json", {"settings": {}})
    return model, said


def full(place):
    """A stored matrix as log-probabilities (rows, V)."""
    ids, logp = np.split(kaldiio.load_mat(place), 2, axis=1)  # (rows, V) both
    return np.take_along_axis(logp, ids.astype(int).argsort(1), 1)


def test_distributions_by_hand(tmp_path):
    model, said = write_place(tmp_path)
    assert soft(tmp_path, "--ctc", "--lang", "deu", "--task", "asr") == 0
    steps, frames = (read_table(tmp_path / f"targets/{name}.scp") for name in ("soft", "ctc"))
    assert steps.keys() == frames.keys() == HYPS.keys()
    for key, hyps in HYPS.items():
        expected = np.concatenate(models.by_hand(model, said[key], ["<deu>", "<asr>"], hyps))
        np.testing.assert_allclose(full(steps[key]), expected, atol=1e-4)
        with torch.no_grad():
            every = models.of_students(model, model.ctc.ctc_lo(models.encoded(model, said[key]))[0])
        # a padded STFT and two convolutions of three frames, every other one: the centre of frame i is 192 + 256 i
        heard = [i for i in range(len(every)) if 192 + 256 * i < len(said[key])]
        np.testing.assert_allclose(full(frames[key]), every[heard], atol=1e-4)
        assert len(heard) < len(every) - 2
    told = read_json(tmp_path / "targets/soft.json")
    assert told["frames"] == {"first": 192.0, "step": 256.0, "rate": 8000}
    assert told["settings"]["prompt"] == "<deu> <asr> <notimestamps>"


def test_frames_that_cannot_be_told_from_silence_are_refused(tmp_path, capsys):
    conf = {"output_size": 8, "attention_heads": 2, "linear_units": 20, "num_blocks": 1, "input_layer": "wav2vec"}
    write_place(tmp_path, encoder_conf=conf)  # an input layer that passes frames of 8 bins on as they are
    assert soft(tmp_path, "--ctc", "--lang", "eng") == 1
    said = capsys.readouterr().err
    assert "so not which are of the audio that this S2T model hears filled up with silence; leave out --ctc" in said
    assert soft(tmp_path, "--lang", "eng") == 0


def test_a_student_learns_from_their_targets(tmp_path):
    """Frames of the audio alone, of the student every 64 ms, of the teacher every 32 ms."""
    write_place(tmp_path, {"a": [["S", "I", "X"]], "b": [["F"]], "c": [["N"]]})
    keys = ("a", "b", "c")
    write_table(tmp_path / "audio/text", {key: "SIX" for key in models.LENGTHS})
    write_table(tmp_path / "targets/weights", {key: "1.0" for key in keys})
    write_table(tmp_path / "targets/text", {key: "SIX" for key in keys})
    settings = {"tokens": digest(tmp_path / "tokens/tokens.txt")}
    write_json(tmp_path / "targets/targets.json", {"settings": settings, "summary": {}})
    assert soft(tmp_path, "--ctc", "--lang", "eng") == 0
    config = read_yaml(tmp_path / "model/config.yaml")
    config = {key: config[key] for part in PARTS for key in (part, f"{part}_conf")}
    config["encoder_conf"]["input_layer"], config["frontend_conf"]["n_mels"] = "conv2d8", 16
    config |= {"normalize": "utterance_mvn", "optim": "sgd", "optim_conf": {"lr": 0.1}, "max_epoch": 1}
    config |= {"use_tensorboard": False}
    config |= {"batch_type": "numel", "batch_bins": 10**6, "num_workers": 0, "num_att_plot": 0}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    words = ["train", "--role", "student", "--kd", "word_weight=0.5", "ctc_word_weight=0.25"]
    for option, path in (("train", "audio"), ("valid", "audio"), ("config", "c.yaml"), ("out", "s")):
        words += [f"--{option}", str(tmp_path / path)]
    for option in ("tokens", "targets"):
        words += [f"--{option}", str(tmp_path / option)]
    assert main(words) == 0
    assert read_yaml(tmp_path / "s/config.yaml")["token_list"] == read_lines(tmp_path / "tokens/tokens.txt")
