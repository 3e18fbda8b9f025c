"""Tiny models as directories and as bundles, audio for them, and what kdasr's own search finds in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import kaldiio
import numpy as np
import soundfile
import torch
import yaml
from search_models import build, config

from kdasr.cli import main
from kdasr.data.fbank import fbank
from kdasr.files import write_table
from kdasr.models import Models, find_model
from kdasr.runtime.bundle import seal
from kdasr.search.engine import Engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows

BINS = 24
RATE = 16000
WAVEFORM = {
    "input_size": None,
    "frontend": "default",
    "frontend_conf": {"n_fft": 256, "hop_length": 128, "n_mels": 20, "fs": "16k"},
    "normalize": "utterance_mvn",
}
GREEDY = SearchOptions(beam=1, nbest=1, ctc_weight=0.0)
JOINT = SearchOptions(beam=5, nbest=5, ctc_weight=0.3)


def write_model(
    directory: Path, kind: str = "kdasr", seed: int = 5, changes: dict | None = None, bins: int = BINS
) -> Path:
    """A model directory with one of search_models.CONFIGS, of random weights."""
    directory.mkdir(parents=True)
    model = build(kind, seed=seed, bins=bins, changes=changes)
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump(config(kind, bins) | (changes or {})))
    return directory


def write_student(directory: Path, data: Path, kind: str = "kdasr", seed: int = 6, changes: dict | None = None) -> Path:
    """A model that normalises by what `data` (80 bins) has, so that it hears differences, and seldom writes <eos>."""
    matrices = kaldiio.load_scp(str(data / "feats.scp"))
    x = np.concatenate([matrices[name] for name in matrices]).astype(np.float64)  # (T, F)
    stats = directory.with_name(f"{directory.name}_cmvn.npz")
    stats.parent.mkdir(parents=True, exist_ok=True)
    np.savez(stats, count=len(x), sum=x.sum(0), sum_square=(x**2).sum(0))
    fixed = {"normalize": "global_mvn", "normalize_conf": {"stats_file": str(stats)}}
    write_model(directory, kind, seed, fixed | (changes or {}), x.shape[1])
    add_bias(directory, -1, -3.0)
    return directory


def add_bias(model: Path, token: int, more: float) -> None:
    """Add to the bias of a token in a model's decoder."""
    path = model / "valid.acc.ave.pth"
    weights = torch.load(path, weights_only=True)
    for name in ("decoder.output.bias", "decoder.output_layer.bias"):
        if name in weights:
            weights[name][token] += more
    torch.save(weights, path)


def kdasr(*words: object) -> int:
    return main([str(word) for word in words])


def export(model: Path, out: Path, *more: object) -> Path:
    assert kdasr("export", "--model", model, "--out", out, *more) == 0
    return out


def speech(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Samples, int16 (n,), whose spectrum changes every 80 ms, so that models write letters of it."""
    random = np.random.default_rng(seed)
    part = int(0.08 * rate)
    parts = []
    for _ in range(int(seconds * rate) // part + 1):
        noise = random.normal(0, 1, part)
        tilt = np.convolve(noise, random.normal(0, 1, 6), "same")
        parts.append(tilt * 10 ** random.uniform(1.5, 3.3))
    return np.clip(np.concatenate(parts)[: int(seconds * rate)], -32768, 32767).astype(np.int16)


def write_data(directory: Path, waves: dict[str, np.ndarray], bins: int = BINS) -> Path:
    """A data directory with the audio of these utterances, their features, and a text of each."""
    directory.mkdir(parents=True)
    for name, wave in waves.items():
        soundfile.write(directory / f"{name}.wav", wave, RATE, subtype="PCM_16")
    write_table(directory / "wav.scp", {name: str(directory / f"{name}.wav") for name in waves})
    write_table(directory / "text", dict.fromkeys(waves, "ab cd"))
    write_table(directory / "utt2spk", {name: name for name in waves})
    matrices = {name: fbank(wave, RATE, bins) for name, wave in waves.items()}
    kaldiio.save_ark(str(directory / "feats.ark"), matrices, scp=str(directory / "feats.scp"))
    return directory


def found_by_search(model: Path, data: Path, options: SearchOptions) -> dict[str, list[dict]]:
    """Utterance -> hypotheses, as `kdasr nbest` writes them."""
    source = find_model(model, None)
    engine = Engine(Models((source,)), options, Computing(40000))
    return {record["id"]: record["hyps"] for record in engine.decode(read_rows(str(data), source))}


def rewrite(bundle: Path, **changes: object) -> None:
    """Change settings of a bundle that is a directory, and all checksums."""
    path = bundle / "bundle.json"
    settings = json.loads(path.read_text()) | changes
    settings["files"] = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in bundle.iterdir() if file != path
    }
    settings["sha256"] = seal(settings)
    path.write_text(json.dumps(settings))
