"""Calling a model otherwise. Labels only show: reports group and compare by the facts of kdasr.json."""

from __future__ import annotations

import time
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, write_json


def relabel(model: str | Path, label: str) -> None:
    """Change the label in kdasr.json, and log the old one, the new one and the date there, under labels.

    Args:
        model: directory of a model that kdasr has trained.
        label: the new one.

    Raises:
        UserError: no such model, or an empty label.
    """
    path = Path(model) / "kdasr.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; name the directory of a model that kdasr has trained")
    if not label.strip():
        raise UserError("the label is empty; say what tables are to call the model")
    with only_writer(path.parent):
        record = read_json(path)
        old, log = record.get("label"), record.get("labels", [])
        if not isinstance(log, list):
            raise UserError(f"{path}: 'labels' is no list of changes; remove it from the file")
        change = {"old": old, "new": label, "date": time.strftime("%Y-%m-%d %H:%M:%S %Z")}
        if old == label:
            print(f"{model}: is called so already")
            return
        write_json(path, record | {"label": label, "labels": [*log, change]})
    print(f"{model}: was '{old}', now '{label}'; reports show it when they are made again")
