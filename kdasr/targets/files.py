"""A targets directory on disk: tables of hypotheses and weights, and soft targets beside them.

R  rows of an utterance: a row for each token and one for <eos> of each of its hypotheses, in order
J  soft targets a row, most probable first
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdasr.checkpoints import checksums
from kdasr.data.matrices import write_ark
from kdasr.files import atomic_dir, write_json, write_table
from kdasr.targets.select import Target

TABLES = ("hyps", "hyp_lens", "weights", "text")


def write_targets(out: Path, chosen: Mapping[str, Sequence[Target]], record: Mapping[str, Any]) -> None:
    """Write what training reads; the directory appears whole or not at all.

    Args:
        out: the directory.
        chosen: targets by utterance.
        record: of targets.json.
    """
    with atomic_dir(out) as fresh:
        ids = {key: " ".join(str(i) for t in targets for i in t.tokens) for key, targets in chosen.items()}
        write_table(fresh / "hyps", ids)
        lens = {key: " ".join(str(len(t.tokens)) for t in targets) for key, targets in chosen.items()}
        write_table(fresh / "hyp_lens", lens)
        # nine digits, the precision of float32, so that they sum to one
        weights = {key: " ".join(f"{t.weight:.9g}" for t in targets) for key, targets in chosen.items()}
        write_table(fresh / "weights", weights)
        write_table(fresh / "text", {key: max(targets, key=lambda t: t.weight).text for key, targets in chosen.items()})
        write_json(fresh / "targets.json", {**record, "sha256": checksums(fresh, TABLES)})


def write_soft_table(
    directory: Path, final: Path, matrices: Iterable[tuple[str, np.ndarray]], name: str = "soft"
) -> None:
    """Write soft.ark, its checksum soft.sha256 and soft.scp, or others of their form.

    Args:
        directory: where to write them.
        final: the name that the directory will have when all is written: the paths in soft.scp.
        matrices: (R, 2J) by utterance: J token ids, then J natural logarithms.
        name: of the files.
    """
    with write_ark(directory / f"{name}.ark", final / f"{name}.ark") as ark:
        for key, matrix in matrices:
            ark.add(key, np.ascontiguousarray(matrix, dtype=np.float32))  # (R, 2J)
    write_table(directory / f"{name}.scp", ark.places)


def distinct_prefixes(tokens: Sequence[int], lens: Sequence[int]) -> int:
    """Distinct prefixes of an utterance's hypotheses, the empty one included: what a decoder computes for it.

    Args:
        tokens: of all of them, one hypothesis after the other.
        lens: their lengths.

    >>> distinct_prefixes([5, 6, 5, 7, 5], [2, 2, 1])
    4
    """
    end, found = 0, {()}
    for length in lens:
        start, end = end, end + length
        found |= {tuple(tokens[start:stop]) for stop in range(start + 1, end + 1)}
    return len(found)
