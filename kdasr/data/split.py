"""A data directory cut into parts for processes that work side by side, by whole speakers or anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kdasr.data.parts import LongDir, in_order
from kdasr.errors import UserError
from kdasr.files import atomic_dir, only_writer


def split_dir(directory: Path, parts: int, per_utterance: bool = False) -> Path:
    """Cut a directory into DIR/splitN/1..N (per speaker) or DIR/splitNutt/1..N; returns where.

    Parts that are newer than the directory's tables are left as they are.

    Raises:
        UserError: more parts than speakers or utterances, or something else is where the parts would be.
    """
    with LongDir(directory) as whole:
        ordered = in_order(whole.utt2spk)
        if per_utterance:
            pieces = [ordered[first:last] for first, last in cut_evenly(len(ordered), parts)]
        else:
            found = by_speaker(whole.speaker[ordered], parts, directory)
            pieces = [np.flatnonzero(np.isin(whole.speaker, speakers)) for speakers in found]
        target = directory / f"split{parts}{'utt' if per_utterance else ''}"
        newest = max((directory / name).stat().st_mtime_ns for name in whole.tables)
        with only_writer(directory, name=".split.lock", wait=60):
            made = [target / str(part) for part in range(1, parts + 1)]
            if all(_holds(part, whole.tables, newest) for part in made):
                return target
            strange = [
                path.name for path in target.glob("*") if not (path.name.isdecimal() and (path / "utt2spk").is_file())
            ]
            if strange:
                raise UserError(
                    f"{target}: holds {strange[0]}, which is no part of a split, so it is not replaced; move it"
                )
            with atomic_dir(target) as fresh:
                for number, piece in enumerate(pieces, 1):
                    kept = np.zeros(len(ordered), dtype=bool)
                    kept[piece] = True
                    whole.put(fresh / str(number), kept, cmvn=whole.cmvn())
    return target


def cut_evenly(size: int, parts: int) -> list[tuple[int, int]]:
    """The begin and end of contiguous pieces whose sizes differ by at most one, the larger ones first."""
    if not 1 <= parts <= size:
        raise UserError(f"{parts} parts asked for, but there are {size} utterances; ask for 1 to {size}")
    least, larger = divmod(size, parts)
    return list(itertools.pairwise(part * least + min(part, larger) for part in range(parts + 1)))


def by_speaker(speaker: np.ndarray, parts: int, directory: Path) -> list[list[int]]:
    """The speakers of contiguous pieces of whole speakers, as Kaldi's split_scp.pl makes them.

    It starts from equal numbers of speakers and moves one over a border as long as that evens out the two sizes.

    Args:
        speaker: (U,) the number of each utterance's, utterances in the order of LC_ALL=C.
        parts: how many pieces.
        directory: for messages.
    """
    found, firsts, counts = np.unique(speaker, return_index=True, return_counts=True)
    names = found[np.argsort(firsts)].tolist()
    count_of = dict(zip(found.tolist(), counts.tolist(), strict=True))
    if not 1 <= parts <= len(names):
        raise UserError(
            f"{directory}: {parts} parts asked for, but there are {len(names)} speakers; ask for fewer, or cut"
            " with --per-utt"
        )
    pieces: list[list[int]] = [[] for _ in range(parts)]
    for index, name in enumerate(names):
        pieces[index * parts // len(names)].append(name)
    sizes = [sum(count_of[name] for name in piece) for piece in pieces]

    def move(source: int, target: int) -> bool:
        """Hand the speaker at the border over, if the two sizes get closer."""
        if not pieces[source]:
            return False
        forward = target > source
        name = pieces[source][-1 if forward else 0]
        count = count_of[name]
        if abs((sizes[target] + count) - (sizes[source] - count)) >= abs(sizes[target] - sizes[source]):
            return False
        pieces[source].pop(-1 if forward else 0)
        pieces[target].insert(0 if forward else len(pieces[target]), name)
        sizes[source] -= count
        sizes[target] += count
        return True

    changed = True
    while changed:
        changed = False
        for piece in range(parts):
            if piece + 1 < parts:
                changed |= move(piece, piece + 1)
            if piece:
                changed |= move(piece, piece - 1)
    return pieces


def _holds(part: Path, tables: Iterable[str], newest: int) -> bool:
    """Whether a part of a split has every table, none older than the source."""
    return all((part / name).is_file() and (part / name).stat().st_mtime_ns >= newest for name in tables)
