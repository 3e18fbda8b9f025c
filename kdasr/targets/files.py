"""A targets directory on disk: tables of hypotheses and weights, and soft targets beside them.

R  rows of an utterance: a row for each token and one for <eos> of each of its hypotheses, in order
J  soft targets a row, most probable first
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdasr.checkpoints import checksums
from kdasr.data.matrices import write_ark
from kdasr.files import atomic_write, split_key, write_json, write_table
from kdasr.keyed import table
from kdasr.targets.select import Target

TABLES = ("hyps", "hyp_lens", "weights", "text")


class Tables:
    """The tables of a targets directory while they are written; the files are open within the block."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._rising, self._last = directory, True, b""

    def __enter__(self) -> Tables:
        with contextlib.ExitStack() as stack:
            paths = [self._directory / name for name in TABLES]
            self._files = [stack.enter_context(open(path, "w", encoding="utf-8", newline="\n")) for path in paths]
            self._close = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def add(self, key: str, targets: Sequence[Target]) -> None:
        """Write the targets of an utterance; utterances come in any order, each once."""
        data = key.encode()
        self._rising, self._last = self._rising and data > self._last, data
        values = (
            " ".join(str(i) for t in targets for i in t.tokens),
            " ".join(str(len(t.tokens)) for t in targets),
            # nine digits, the precision of float32, so that they sum to one
            " ".join(f"{t.weight:.9g}" for t in targets),
            max(targets, key=lambda t: t.weight).text,
        )
        for file, value in zip(self._files, values, strict=True):
            file.write(f"{key} {value}".rstrip() + "\n")

    def finish(self, record: Mapping[str, Any]) -> None:
        """Sort the tables as LC_ALL=C does, and write targets.json."""
        self._close.close()
        for name in () if self._rising else TABLES:
            with table(self._directory / name, empty=True) as unsorted:
                order = unsorted.in_order(lambda line: split_key(line)[0])
                with atomic_write(self._directory / name) as stream:
                    stream.writelines(f"{line}\n" for line in unsorted.read(order))
        write_json(self._directory / "targets.json", {**record, "sha256": checksums(self._directory, TABLES)})


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
