"""Specialists for groups of classes that a network, the generalist, confuses.

Hinton et al. 2015, section 5; kdasr.classify.specialists does the work. What is written: specialists.json with the
groups, the errors of the generalist alone and of all together on the test images, and of each specialist.
"""

from __future__ import annotations

from pathlib import Path

import torch
from idx import LARGEST
from image_set import load

from kdasr.arrays import read_npz
from kdasr.classify.settings import LOGITS, MODEL, RECORD, SpecialistSettings
from kdasr.classify.specialists import beside, read_generalist
from kdasr.errors import UserError
from kdasr.files import only_writer, write_json


def train_specialists(data: str, generalist: str, out: str | Path, settings: SpecialistSettings) -> None:
    """Find groups, train a specialist for each, and count errors.

    Args:
        data: file of local/images_data.py.
        generalist: directory of a network that was trained on it.
        out: directory to write.
        settings: of groups and specialists.

    Raises:
        UserError: settings that cannot be, or files that are missing or do not belong together.
    """
    settings.check()
    for name in (LOGITS, MODEL, RECORD):
        if not (Path(generalist) / name).is_file():
            raise UserError(f"{generalist}/{name}: no such file; train the network first: local/images_train.py")
    torch.set_flush_denormal(True)
    parts = load(data)
    stored = read_npz(Path(generalist) / LOGITS, ["train", "test"], "train it again (local/images_train.py)")
    seen, said = (torch.from_numpy(stored[part]) for part in ("train", "test"))
    if len(seen) != len(parts["train"].labels):
        raise UserError(f"{generalist}: has {len(seen)} training images, --data {len(parts['train'].labels)}")
    with only_writer(out):
        general = read_generalist(generalist, LARGEST)
        result = beside(settings, general, parts["train"], seen, parts["test"], said, out)
        write_json(Path(out) / "specialists.json", result)
    print(f"{out}: {result['alone']} test errors of the generalist alone, {result['together']} with specialists")
