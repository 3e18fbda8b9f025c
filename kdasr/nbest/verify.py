"""Read a whole archive, and say in one sentence what is wrong with it, if anything.

Checked are the manifest (model, search settings, utterances) against its hash, that all shards are there and no
others, each line against its checksum, each shard against its hash, each record's fields, the order of its hypotheses,
the list of utterances, and the summary's counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.nbest import archive, run_report


def verify(directory: str | Path) -> str:
    """A line that says what was found to be whole.

    Raises:
        UserError: anything is missing, cut short or changed; file and line are named.
    """
    directory = Path(directory)
    manifest = archive.read_manifest(directory)
    if not (directory / "summary.json").is_file():
        raise UserError(
            f"{directory}: is not finished (summary.json is missing); run kdasr nbest again, or its --merge"
        )
    for path in sorted(directory.glob("nbest.*.jsonl")):
        shard = path.name.split(".")[1]
        if not (shard.isdecimal() and int(shard) < manifest["shards"]):
            raise UserError(f"{path}: is none of the {manifest['shards']} shards; remove it")
    found = archive.counts(archive.read_nbest(directory))
    summary: dict[str, Any] = read_json(directory / "summary.json")
    for key, value in found.items():
        if summary.get(key) != value:
            raise UserError(
                f"{directory}/summary.json: {key} {summary.get(key)!r}, the shards have {value!r}; "
                "remove summary.json and run kdasr nbest again"
            )
    run_report.read(directory)
    unknown = "" if "manifest" in summary else "; no hash of its manifest was kept"
    return (
        f"{directory}: whole: {found['utterances']} utterances, {found['hypotheses']} hypotheses, "
        f"{found['tokens']} tokens in {manifest['shards']} shards{unknown}"
    )
