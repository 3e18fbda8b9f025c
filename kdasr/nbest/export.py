"""An archive as Kaldi tables, a line a hypothesis, keys UTT-1 ... UTT-n, best first.

Writes text, tokens (ids), score (the total) and score_NAME of each scorer (decoder, ctc, ...), sorted as
LC_ALL=C does; scores are natural logarithms, larger is better (Kaldi's lattice costs are their negatives).
A hypothesis that nothing scored (of an utterance too short to decode) is in no score_NAME. export.json says
what was exported. `read_export` reads all of it back; of texts only white space at the ends is lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import atomic_dir, columns, read_json, read_table, write_json, write_table
from kdasr.nbest.archive import read_manifest, read_nbest


def export(nbest: str, out: str | Path, best: int = 0) -> None:
    """Export, and print a line.

    Args:
        nbest: the archive.
        out: directory to write.
        best: only so many of each utterance; 0: all.

    Raises:
        UserError: `out` holds something else, or two hypotheses would have one name.
    """
    out = Path(out)
    if out.exists() and not (out / "export.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: holds other things than an export, which would be lost; name another directory")
    tables: dict[str, dict[str, str]] = {"text": {}, "tokens": {}, "score": {}}
    utterances = 0
    for record in read_nbest(nbest):
        utterances += 1
        for k, hyp in enumerate(record["hyps"][: best or None], 1):
            key = f"{record['id']}-{k}"
            if key in tables["score"]:
                raise UserError(f"{nbest}: {key} would name two hypotheses; rename the utterance {record['id']}")
            tables["text"][key] = hyp["text"]
            tables["tokens"][key] = " ".join(map(str, hyp["tokens"]))
            tables["score"][key] = repr(hyp["score"])
            for name, score in hyp["scores"].items():
                tables.setdefault(f"score_{name}", {})[key] = repr(score)
    with atomic_dir(out) as fresh:
        for name, table in tables.items():
            write_table(fresh / name, table)
        about = {"utterances": utterances, "hypotheses": len(tables["score"]), "tables": list(tables)}
        write_json(fresh / "export.json", {**about, "archive": read_manifest(nbest)})
    print(f"{out}: {len(tables['score'])} hypotheses of {utterances} utterances: {' '.join(tables)}")


def read_export(directory: str | Path) -> dict[str, list[dict[str, Any]]]:
    """The hypotheses of each utterance, best first: {"tokens", "text", "score", "scores"} as in an archive's record.

    Raises:
        UserError: a file is missing, or its keys are not those of the others.
    """
    directory = Path(directory)
    names = read_json(directory / "export.json").get("tables")
    if not isinstance(names, list) or not {"text", "tokens", "score"} <= {
        name for name in names if isinstance(name, str)
    }:
        raise UserError(f"{directory}/export.json: is no record of an export; export again (kdasr nbest export)")
    tables = {name: read_table(directory / name, empty=True) for name in names}
    for name in ("text", "tokens"):
        if tables[name].keys() != tables["score"].keys():
            key = min(tables[name].keys() ^ tables["score"].keys())
            raise UserError(f"{directory}/{name}: {key} is not in both this file and score; export again")
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for key in tables["score"]:
        utterance, _, place = key.rpartition("-")
        try:
            found.setdefault(utterance, []).append((int(place), _hypothesis(key, tables)))
        except (ValueError, KeyError):
            raise UserError(f"{directory}: {key} is not what was exported; export again (kdasr nbest export)") from None
    return {utterance: [hyp for _, hyp in sorted(hyps, key=lambda pair: pair[0])] for utterance, hyps in found.items()}


def _hypothesis(key: str, tables: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """A hypothesis of the tables; ValueError, KeyError where its numbers are none."""
    parts = {name[6:]: float(rows[key]) for name, rows in tables.items() if name[:6] == "score_" and key in rows}
    tokens = [int(token) for token in columns(tables["tokens"][key])]
    score = float(tables["score"][key])
    if not all(map(math.isfinite, (score, *parts.values()))) or min(tokens, default=0) < 0:
        raise ValueError("no score, or no token")
    return {"tokens": tokens, "text": tables["text"][key], "score": score, "scores": parts}
