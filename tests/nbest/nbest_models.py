"""Tiny model and data directories for `kdasr nbest`, and the command called on them."""

from __future__ import annotations

import sys
from pathlib import Path

import kaldiio
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))
import search_models as models

from kdasr.cli import main
from kdasr.files import write_table

LENGTHS = [30, 9, 24, 1, 17, 27, 12]


def write_model(directory, kind="kdasr", **changes):
    """A model directory as ESPnet's trainer leaves it."""
    directory.mkdir(parents=True)
    model = models.build(kind)
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump({**models.config(kind), **changes}))
    return model


def write_data(directory, features):
    """A feature directory."""
    directory.mkdir(parents=True, exist_ok=True)
    matrices = {f"utt{i}": x.numpy() for i, x in enumerate(features)}
    kaldiio.save_ark(str(directory / "feats.ark"), matrices, scp=str(directory / "feats.scp"))
    write_table(directory / "text", {key: "a b c" for key in matrices})
    return list(matrices)


def write_place(root):
    """root/model, and root/data of seven utterances, one of them with a single frame: root, model, features."""
    model = write_model(root / "model")
    features = models.features(LENGTHS)
    write_data(root / "data", features)
    return root, model, features


def nbest(root, out, *more):
    """`kdasr nbest` of root/model and root/data in shards of two; the exit status."""
    words = ["--model", root / "model", "--data", root / "data", "--out", out, "--shard_size", 2, *more]
    return main(["nbest", *map(str, words)])


def files(out):
    """The bytes of all files of an archive that say what it holds; what it cost is not among them."""
    names = ("nbest.*.jsonl", "manifest.json", "summary.json")
    return {path.name: path.read_bytes() for name in names for path in sorted(out.glob(name))}
