"""A finished ESPnet model becomes a teacher: a model directory of its own, which leaves the model as it is.

The directory holds links to the model's files (or what was unpacked of a pack) and kdasr.json, which says for reports
that it is a teacher, how large it is, and where it came from. What is written later (N-best lists, decodings) goes into
that directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kdasr import __version__, checkpoints
from kdasr.errors import UserError
from kdasr.files import atomic_dir, only_writer, read_json, write_json
from kdasr.models import find_checkpoint, find_s2t, read_config
from kdasr.packs import unpack
from kdasr.revision import revision
from kdasr.s2t import UNASKED, Prompt
from kdasr.shards import digest
from kdasr.translation import SRC_TOKENS


def adopt(model: str | Path, out: str | Path, label: str = "teacher", prompt: Prompt = UNASKED) -> None:
    """Make the model directory `out` of a finished model, or bring it up to date.

    Args:
        model: an ESPnet model directory, or a zip that espnet2.bin.pack has made.
        out: directory to write.
        label: what tables call the model.
        prompt: what an S2T model is asked for whenever it is used.

    Raises:
        UserError: kdasr cannot use the model, or `out` holds something else.
    """
    model, out = Path(model), Path(out)
    facts: dict[str, Any] = {"adopted": str(model.resolve())}
    if model.is_file():
        pack = digest(model)
        if (out / checkpoints.RECORD).is_file() and read_json(out / checkpoints.RECORD).get("pack") == pack:
            if asked := of_prompt(out, prompt):
                write_json(out / checkpoints.RECORD, read_json(out / checkpoints.RECORD) | asked)
            print(f"{out}: has been unpacked already; to unpack it again: rm -r {out}")
            return
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"{out}: holds other things, which would be lost; name another directory, or remove it")
        with atomic_dir(out) as fresh:
            unpack(model, fresh)
            write_record(fresh, fresh, label, facts | {"pack": pack} | of_prompt(fresh, prompt))
    else:
        read_config(model)  # says what is wrong before anything is written
        find_checkpoint(model)
        facts |= of_prompt(model, prompt)
        with only_writer(out):
            link(model, out)
            write_record(out, model, label, facts)
    print(f"{out}: {read_json(out / checkpoints.RECORD)['parameters']:,} parameters, of {model}")


def of_prompt(model: Path, prompt: Prompt) -> dict[str, Any]:
    """What a record says of how an S2T model is used; nothing of other models.

    Raises:
        UserError: the model cannot be asked for this.
    """
    s2t = find_s2t(model, read_config(model), prompt)
    return {"prompt": dict(zip(Prompt._fields, s2t.words, strict=False))} if s2t else {}


def link(model: Path, out: Path) -> None:
    """Links in `out` to the files of a model and its token directories, but not to results, which would be added to.

    Raises:
        UserError: `out` holds a model of its own.
    """
    if (out / "config.yaml").exists() and not (out / "config.yaml").is_symlink():
        raise UserError(f"{out}: holds a model of its own; name another directory")
    for path in sorted(model.iterdir()):
        hidden = path.name.startswith(".") or path.name == checkpoints.RECORD
        if not hidden and (path.is_file() or (path.name in ("tokens", SRC_TOKENS) and path.is_dir())):
            fresh = out / f".{path.name}.link"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(path.resolve())
            os.replace(fresh, out / path.name)


def write_record(directory: Path, model: Path, label: str, facts: dict[str, Any]) -> None:
    """Write kdasr.json, with what the model's own record says of its training, if it has one.

    Only the checkpoint that is used and config.yaml get a checksum: others may be many gigabytes.
    """
    from kdasr.networks.load import load_model  # seconds, which nobody waits for who has named a wrong file

    record = read_json(model / checkpoints.RECORD) if (model / checkpoints.RECORD).is_file() else {}
    used = (find_checkpoint(directory).name, *checkpoints.NAMED)
    network, _ = load_model(directory, finished=False, s2t=True)
    known = record.get("sha256")
    record |= {"role": "teacher", "label": label, "network": "", "recipe": ""}
    record |= {"parameters": sum(weight.numel() for weight in network.parameters())}
    record |= {**facts, "git": revision(), "kdasr": __version__}
    sums = {name: checkpoints.sha256(directory / name) for name in used} | (known if isinstance(known, dict) else {})
    write_json(directory / checkpoints.RECORD, record | {"sha256": sums})
