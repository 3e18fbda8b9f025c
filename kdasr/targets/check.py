"""Check a whole targets directory before training starts.

It finds what would otherwise show after hours, or never: ids of another token list, hypotheses cut at wrong places,
weights that are no distribution, soft targets of other hypotheses.

    V  tokens of the list, <blank> 0 and <sos/eos> V - 1   R  rows of soft targets of an utterance   J  their width
"""

from __future__ import annotations

import contextlib
import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from kdasr.checkpoints import compare
from kdasr.data.matrices import check_archives, read_matrix
from kdasr.data.places import Place, parse_table
from kdasr.errors import UserError
from kdasr.files import read_json, read_table
from kdasr.targets.files import TABLES

Value = TypeVar("Value")
COUNTS = re.compile(r"[0-9]+( [0-9]+)*")
SUM_TOLERANCE = 1e-3
SOFT_REMEDY = "make the soft targets again (kdasr soft)"
LOGP_TOLERANCE = 1e-3  # how far above 0 rounding may put a log probability


def check_targets(
    directory: str | Path, tokens_digest: str, vocabulary: int, feats: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Read and check a targets directory.

    Args:
        directory: written by `kdasr targets`.
        tokens_digest: of the tokens.txt to train with (kdasr.shards.digest).
        vocabulary: V.
        feats: feature locations by utterance.

    Returns:
        "hyps" (all ids of an utterance), "hyp_lens", "weights", "text" and, where soft targets are there, "soft.scp"
        and "ctc.scp" (their places), each by utterance.

    Raises:
        UserError: the first thing wrong, with its file and utterance.
    """
    directory = Path(directory)
    record = read_json(directory / "targets.json")
    settings = record.get("settings", {})
    if settings.get("tokens") != tokens_digest:
        raise UserError(
            f"{directory}/targets.json: was made with another token list; name that one's --tokens, or make the "
            f"targets again (kdasr targets --out {directory})"
        )
    tables = {name: read_table(directory / name, empty=True) for name in TABLES}
    places: dict[str, dict[str, Place]] = {}
    for name in ("soft.scp", "ctc.scp"):
        if (directory / name).exists():
            tables[name] = read_table(directory / name)
            places[name] = parse_table(tables[name], directory / name)
    for name, table in tables.items():
        if table.keys() != tables["hyps"].keys():
            key = min(table.keys() ^ tables["hyps"].keys())
            lacking, other = (name, "hyps") if key in tables["hyps"] else ("hyps", name)
            remedy = remedy_of(directory) if name in TABLES else SOFT_REMEDY
            raise UserError(f"{directory}/{lacking}: lacks {key}, which {other} has; {remedy}")
    absent = sorted(tables["hyps"].keys() - feats.keys())
    if absent:
        raise UserError(
            f"{directory}: {absent[0]} (and {len(absent) - 1} more) has no features; add its set to --train"
        )
    lens = each(directory / "hyp_lens", tables["hyp_lens"], parse_lens)
    checked: dict[str, dict[str, Any]] = {
        "hyps": each(directory / "hyps", tables["hyps"], lambda key, row: parse_ids(row, lens[key], vocabulary)),
        "hyp_lens": lens,
        "weights": each(directory / "weights", tables["weights"], lambda key, row: parse_weights(row, lens[key])),
        "text": tables["text"],
    }
    for name, found in places.items():
        check_archives(found, SOFT_REMEDY)
        checked[name] = found
    if "soft.scp" in places:
        check_soft(directory / "soft.scp", places["soft.scp"], lens, vocabulary)
    compare(directory, record.get("sha256"), remedy_of(directory))
    return checked


def remedy_of(directory: Path) -> str:
    """What to do about tables that do not fit."""
    return f"make the targets again (rm -r {directory}; kdasr targets --out {directory})"


def each(path: Path, table: Mapping[str, str], parse: Callable[[str, str], Value]) -> dict[str, Value]:
    """A table's values parsed; a ValueError becomes a UserError that names file and utterance."""
    parsed: dict[str, Value] = {}
    for key, row in table.items():
        try:
            parsed[key] = parse(key, row)
        except ValueError as error:
            raise UserError(f"{path}: {key} {error}; {remedy_of(path.parent)}") from None
    return parsed


def parse_lens(key: str, row: str) -> list[int]:
    """Lengths of an utterance's hypotheses, one or more, each 1 or more."""
    if not row:
        raise ValueError("has no hypothesis")
    if not COUNTS.fullmatch(row) or not all(lens := [int(word) for word in row.split(" ")]):
        raise ValueError(f"has {row[:80]!r}, expected lengths of hypotheses, 1 or more each")
    return lens


def parse_ids(row: str, lens: Sequence[int], vocabulary: int) -> Sequence[int]:
    """Token ids of all hypotheses of an utterance: from 1 to V - 2, as many as their lengths say."""
    ids = array("i")
    if COUNTS.fullmatch(row):
        with contextlib.suppress(OverflowError):
            ids = array("i", map(int, row.split(" ")))
    if not ids or min(ids) < 1 or max(ids) > vocabulary - 2:
        wrong = (word for word in row.split(" ") if not (COUNTS.fullmatch(word) and 1 <= int(word) <= vocabulary - 2))
        raise ValueError(f"has the token {next(wrong)!r}, expected ids from 1 to {vocabulary - 2}")
    if len(ids) != sum(lens):
        raise ValueError(f"has {len(ids)} ids, but its lengths in hyp_lens add up to {sum(lens)}")
    return ids


def parse_weights(row: str, lens: Sequence[int]) -> list[float]:
    """Weights of an utterance's hypotheses: not negative, with a sum of one."""
    try:
        weights = [float(word) for word in row.split(" ")]
    except ValueError:
        raise ValueError(f"has {row[:80]!r}, expected numbers") from None
    if len(weights) != len(lens):
        raise ValueError(f"has {len(weights)} weights for {len(lens)} hypotheses")
    wrong = [weight for weight in weights if not 0 <= weight < math.inf]
    if wrong:
        raise ValueError(f"has the weight {wrong[0]:g}, expected numbers from 0 to 1")
    if abs(sum(weights) - 1) > SUM_TOLERANCE:
        raise ValueError(f"has weights that sum to {sum(weights):g}, expected 1")
    return weights


def check_soft(path: Path, places: Mapping[str, Place], lens: Mapping[str, Sequence[int]], vocabulary: int) -> None:
    """Read all soft targets, and refuse those that are not of these hypotheses.

    Args:
        path: of soft.scp.
        places: of each utterance's matrix.
        lens: lengths of its hypotheses.
        vocabulary: V.
    """
    width = 0
    for key, place in places.items():
        matrix = read_matrix(f"{path}: {key}", place, SOFT_REMEDY, finite=False)  # (R, 2J)
        why = soft_fault(matrix, sum(lens[key]) + len(lens[key]), width, vocabulary)
        if why:
            raise UserError(f"{path}: {key} has {why}; {SOFT_REMEDY}")
        width = matrix.shape[1]


def soft_fault(matrix: np.ndarray, rows: int, width: int, vocabulary: int) -> str:
    """What is wrong with the soft targets (R, 2J) of an utterance, or nothing.

    Args:
        matrix: J token ids, then J log probabilities.
        rows: R as its hypotheses have it.
        width: 2J of the utterances before it, 0 for the first.
        vocabulary: V.
    """
    if matrix.ndim != 2 or len(matrix) != rows:
        return f"a matrix of shape {matrix.shape}, expected {rows} rows (one a token, one for each hypothesis' end)"
    columns = matrix.shape[1]
    if columns % 2 or not 0 < columns <= 2 * vocabulary or columns != (width or columns):
        return f"{columns} columns, expected {width or 'token ids and as many logarithms'}"
    ids, logp = np.split(matrix, 2, axis=1)  # (R, J) both
    if not ((ids == np.floor(ids)) & (ids >= 0) & (ids < vocabulary)).all():
        return f"token ids that are not from 0 to {vocabulary - 1}"
    if not (np.isfinite(logp) & (logp <= LOGP_TOLERANCE)).all():
        return "numbers that are no log probabilities"
    return ""
