"""Mean and variance of what a front end makes of the training audio, for a student with `normalize: global_mvn`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from kdasr.asr.audio_type import Audio
from kdasr.asr.inputs import student_input
from kdasr.data.cmvn import accumulate, merge, write_npz
from kdasr.networks.load import build, register


@torch.no_grad()
def write(out: Path, lists: Path, options: argparse.Namespace) -> None:
    """Compute them, and write them as cmvn.npz beside the model.

    Args:
        out: the model's directory.
        lists: what the trainer reads.
        options: ESPnet's, as for the training.
    """
    without = argparse.Namespace(**{**vars(options), "normalize": None})
    model = build(register(), without, str(options.config)).eval()
    rate = student_input(str(options.config)).rate or 0
    parts = []
    for samples in Audio(str(lists / "train" / "audio"), rate).values():
        # (1, T, F), (1,)
        features, lengths = model._extract_feats(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        parts.append(accumulate(features[0, : int(lengths[0])].numpy()))
    write_npz(out / "cmvn.npz", merge(parts))
