"""Specialists for groups of states that a framewise acoustic model confuses.

Hinton et al. 2015, section 5; kdasr.classify.specialists does the work. What is written: specialists.json with the
groups, and on how many test frames the generalist alone is right, and all together.
"""

from __future__ import annotations

from pathlib import Path

import torch

from kdasr.classify.nets import logits_of
from kdasr.classify.settings import RECORD, SpecialistSettings
from kdasr.classify.specialists import beside, read_generalist
from kdasr.errors import UserError
from kdasr.files import only_writer, write_json
from kdasr.frames.data import load
from kdasr.frames.predict import fitting

GROUPED = 50_000  # training frames, evenly spaced, in whose predictions groups are found


def train_specialists(data: str, test: str, generalist: str, out: str | Path, settings: SpecialistSettings) -> None:
    """Find groups, train a specialist for each, and count frames.

    Args:
        data: frames that the generalist was trained on (kdasr frames data).
        test: frames to ask about, likewise.
        generalist: a model's directory (kdasr frames train).
        out: directory to write.
        settings: of groups and specialists.

    Raises:
        UserError: settings that cannot be, or directories that are missing or do not belong together.
    """
    settings.check()
    if not (Path(generalist) / RECORD).is_file():
        raise UserError(f"{generalist}/{RECORD}: no such file; train the model first: kdasr frames train")
    torch.set_flush_denormal(True)
    train, asked = load(data), load(test)
    model = fitting(generalist, data, train)
    fitting(generalist, test, asked)
    some = torch.arange(0, len(train.labels), max(1, len(train.labels) // GROUPED))
    with only_writer(out):
        seen = logits_of(model, lambda chosen: train.inputs(some[chosen]), len(some))
        said = logits_of(model, asked.inputs, len(asked.labels))
        found = beside(settings, read_generalist(generalist), train, seen, asked, said, out)
        names = train.states.names
        result = {
            "generalist": found["generalist"],
            "groups": [{"states": [names[one] for one in each["classes"]], **each} for each in found["specialists"]],
            "temperature": found["temperature"],
            "alone": found["tested"] - found["alone"],
            "together": found["tested"] - found["together"],
            "tested": found["tested"],
            "cpu_seconds": found["cpu_seconds"],
        }
        write_json(Path(out) / "specialists.json", result)
    print(
        f"{out}: of {result['tested']} frames {result['alone']} right by the generalist alone, "
        f"{result['together']} with specialists"
    )
