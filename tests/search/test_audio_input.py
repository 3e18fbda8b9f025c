"""Models with a waveform front end read utterances as their data directory cuts them: the same numbers as of files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import search_models as models
import soundfile
import torch
import yaml

from kdasr.cli import main
from kdasr.data.speed import change_speed
from kdasr.files import read_table, write_json, write_table
from kdasr.frames.alignment import ALIGNMENT
from kdasr.networks.load import register

RATE = 16000
SPANS = {"a": (0.2, 0.9), "b": (0.5, 1.5), "c": (1.5, 2.0)}


def write_audio_model(directory: Path) -> None:
    """A tiny conformer behind ESPnet's default front end, sharp as those of search_models."""
    given = models.config("conformer") | {
        "input_size": None,
        "frontend": "default",
        "frontend_conf": {"n_fft": 256, "hop_length": 128, "n_mels": 20, "fs": "16k"},
        "normalize": "utterance_mvn",
    }
    torch.manual_seed(0)
    model = register().build_model(argparse.Namespace(**given)).eval()
    with torch.no_grad():
        for layer in (model.decoder.output_layer, model.ctc.ctc_lo):
            layer.weight.mul_(6)
            layer.bias.normal_()
    directory.mkdir()
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump(given))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model; `whole`: a recording of two channels and its segments; `cut`: these as files; both with text."""
    root = tmp_path_factory.mktemp("audio")
    write_audio_model(root / "model")
    random = np.random.default_rng(1)
    sides = np.clip(random.normal(0, 3000, (2 * RATE, 2)), -32768, 32767).astype(np.int16)  # (n, 2)
    for name in ("whole", "cut", "slow"):
        (root / name).mkdir()
        write_table(root / name / "text", dict.fromkeys(SPANS, "ab cd"))
    soundfile.write(root / "r.flac", sides, RATE, subtype="PCM_16")
    soundfile.write(root / "slow.wav", change_speed(sides[:, 1], 2), RATE // 2, subtype="PCM_16")
    write_table(root / "whole" / "wav.scp", {"r": str(root / "r.flac")})
    write_table(root / "slow" / "wav.scp", {"r": str(root / "slow.wav")})
    for name in ("whole", "slow"):
        write_table(root / name / "segments", {key: f"r {start} {end}" for key, (start, end) in SPANS.items()})
    for key, (start, end) in SPANS.items():
        soundfile.write(root / f"{key}.wav", sides[round(start * RATE) : round(end * RATE), 1], RATE, subtype="PCM_16")
    write_table(root / "cut" / "wav.scp", {key: str(root / f"{key}.wav") for key in SPANS})
    return root


def kdasr(*words: object) -> int:
    return main([str(word) for word in words])


def records(archive: Path) -> list[dict]:
    return [json.loads(line)["hyps"] for line in (archive / "nbest.0.jsonl").read_text().splitlines()]


def test_nbest_and_decode_of_segments(place, tmp_path):
    for name, more in (("whole", ("--channel", 2)), ("cut", ())):
        words = ("--model", place / "model", "--data", place / name, "--beam", 2, "--maxlenratio", 0.3, *more)
        assert kdasr("nbest", *words, "--out", tmp_path / f"nbest_{name}", "--nbest", 2) == 0
        assert kdasr("decode", *words, "--out", tmp_path / f"decode_{name}") == 0
    assert records(tmp_path / "nbest_whole") == records(tmp_path / "nbest_cut")
    assert read_table(tmp_path / "decode_whole" / "score") == read_table(tmp_path / "decode_cut" / "score")


def test_ppl_and_alignments_of_segments(place, tmp_path):
    for name, more in (("whole", ("--channel", 2)), ("cut", ())):
        words = ("--model", place / "model", "--data", place / name, *more)
        assert kdasr("ppl", *words, "--out", tmp_path / f"{name}.json") == 0
        assert kdasr("frames", "align", *words, "--out", tmp_path / name) == 0
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "cut"))
    assert one["ppl"] == two["ppl"] and one["channel"] == 2
    assert (tmp_path / "whole" / ALIGNMENT).read_bytes() == (tmp_path / "cut" / ALIGNMENT).read_bytes()


def test_soft_targets_of_segments(place, tmp_path):
    for name, more in (("whole", ("--channel", 2)), ("cut", ())):
        targets = tmp_path / name
        targets.mkdir()
        write_table(targets / "hyps", dict.fromkeys(SPANS, "3 4 2"))
        write_table(targets / "hyp_lens", dict.fromkeys(SPANS, "3"))
        write_json(targets / "targets.json", {"settings": {}})
        words = ("--model", place / "model", "--targets", targets, "--data", place / name, "--ctc", *more)
        assert kdasr("soft", *words) == 0
    for file in ("soft.ark", "ctc.ark"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes()


def test_what_audio_is_refused(place, tmp_path, capsys):
    def refused(data, *more):
        words = ("--model", place / "model", "--data", data, "--out", tmp_path / "out", "--beam", 1, *more)
        assert kdasr("decode", *words) == 1
        return capsys.readouterr().err

    assert "utterance a: " in (said := refused(place / "whole")) and "2 channels, expected 1" in said
    assert "slow.wav has 8000 Hz, the model takes 16000; resample it (--resample)" in refused(place / "slow")
    late = tmp_path / "late"
    late.mkdir()
    write_table(late / "wav.scp", {"r": str(place / "a.wav")})
    write_table(late / "segments", {"z": "r 0.1 7"})
    assert "utterance z: ends at 7.0 s" in refused(late)
    words = ("--model", place / "model", "--data", place / "slow", "--out", tmp_path / "slow", "--beam", 1)
    assert kdasr("decode", *words, "--resample") == 0
    assert len(read_table(tmp_path / "slow" / "text", empty=True)) == 3


def test_a_prepared_set_serves_models_of_audio_too(place, tmp_path):
    """What `kdasr feats` wrote, with copies at another speed: the audio of each utterance is beside its features."""
    write_table(place / "whole" / "utt2spk", {key: key for key in SPANS})
    words = ("--data", place / "whole", "--out", tmp_path / "feats", "--speed", "0.9,1.0", "--channel", 2, "--nj", 1)
    assert kdasr("feats", *words) == 0
    for name in ("feats", "cut"):
        data = tmp_path / "feats" if name == "feats" else place / "cut"
        words = ("--model", place / "model", "--data", data, "--out", tmp_path / f"decode_{name}", "--beam", 2)
        assert kdasr("decode", *words, "--maxlenratio", 0.3) == 0
    scores = read_table(tmp_path / "decode_feats" / "score")
    assert sorted(scores) == sorted(read_table(tmp_path / "feats" / "feats.scp")) and len(scores) == 6
    for key, score in read_table(tmp_path / "decode_cut" / "score").items():
        assert scores[key] == score and scores[f"sp0.9-{key}"] != score
