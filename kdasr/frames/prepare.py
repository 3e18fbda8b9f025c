"""Features and an alignment -> the inputs and labels of a framewise acoustic model.

Inputs are windows, the frame itself with `left` before it and `right` after it; with 20 and 5, the 26 frames of which
Hinton et al. 2015, section 4, predict the 21st. They are not stored: features.npy holds the normalised features of all
utterances, and starts.npy where in it each frame's window begins. frames.json, with all that is common, is written
last.

| axis | meaning |
|---|---|
| N | frames of all utterances |
| M | rows of features.npy: N, and `left` and `right` repeated frames at the borders of each utterance |
| T | frames of an utterance |
| W | frames of a window |
| F | bins |
| B | frames in a batch |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kdasr import checkpoints
from kdasr.data.cmvn import Stats, accumulate, merge
from kdasr.data.matrices import check_archives, read_matrix
from kdasr.data.places import Place, parse_table
from kdasr.errors import UserError
from kdasr.files import atomic_write, only_writer, read_json, read_table, write_json, write_table
from kdasr.frames.alignment import ALIGNMENT, Spikes, read_alignment
from kdasr.frames.states import States, build, label
from kdasr.settings import check_made
from kdasr.shards import digest

FEATURES, STARTS, LABELS, RECORD = "features.npy", "starts.npy", "labels.npy", "frames.json"
DEFAULTS = {"left": 20, "right": 5, "positions": 3, "min_count": 100, "reach": 12}
MOST_STATES = np.iinfo(np.int16).max + 1


@dataclass(frozen=True)
class Sources:
    """What a directory of frames is made from."""

    feats: Path  # features (kdasr feats)
    alignment: Path  # what kdasr frames align wrote; its utterances are taken
    like: Path | None = None  # frames whose states, normalisation and numbers are taken: the training set's


def prepare(
    feats: str | Path,
    alignment: str | Path,
    out: str | Path,
    like: str | Path | None = None,
    given: Mapping[str, int] | None = None,
) -> None:
    """Write the directory, unless it is there.

    Args:
        feats, alignment, like: as `Sources` has them.
        out: directory to write.
        given: numbers other than those of DEFAULTS.

    Raises:
        UserError: a number out of range, or files that are missing, damaged or do not belong together.
    """
    sources, out = Sources(Path(feats), Path(alignment), Path(like) if like else None), Path(out)
    model = record_of(sources.like) if sources.like else None
    numbers = chosen_numbers(given or {}, sources.like, model)
    spikes, skipped = read_alignment(sources.alignment)
    made = {
        "feats": digest_of(sources.feats / "feats.scp"),
        "alignment": digest(sources.alignment / ALIGNMENT),
        "like": digest(sources.like / RECORD) if sources.like else None,
        **numbers,
    }
    with only_writer(out):
        if (out / RECORD).is_file():
            there = read_json(out / RECORD)
            check_made(out, there, made)
            print(f"{out}: made already, {there['frames']:,} frames; to make it again: rm -r {out}")
            return
        about = write(sources, out, spikes, numbers, model)
        sums = checkpoints.checksums(out, [FEATURES, STARTS, LABELS, "utterances", "tokens"])
        write_json(out / RECORD, {**about, "skipped": skipped, **made, "sha256": sums})
    print(
        f"{out}: {len(spikes)} utterances, {about['frames']:,} frames ({100 * about['silence']:.1f} % silence), "
        f"{len(States.from_dict(about['states'])):,} states"
    )


def digest_of(table: Path) -> str:
    """The digest of a feats.scp; UserError if it is absent."""
    if not table.is_file():
        raise UserError(f"{table}: no such file; make it first: kdasr feats --bins 40")
    return digest(table)


def chosen_numbers(given: Mapping[str, int], directory: Path | None, like: dict[str, Any] | None) -> dict[str, int]:
    """The numbers of DEFAULTS: given ones over these, or those of `like`, which is frames.json of `directory`.

    Raises:
        UserError: one is out of range, or given beside --like.
    """
    for name, value in given.items():
        least = 1 if name in ("positions", "min_count") else 0
        if like is not None:
            raise UserError(f"--{name} {value}: comes from --like {directory}; leave one of them out")
        if value < least:
            raise UserError(f"--{name} {value}: expected {least} or more")
    return {**DEFAULTS, **given} if like is None else {name: like[name] for name in DEFAULTS}


def write(
    sources: Sources, out: Path, spikes: dict[str, Spikes], numbers: dict[str, int], like: dict[str, Any] | None
) -> dict[str, Any]:
    """Write all files but frames.json, and return what it is to say.

    The features are read twice, for statistics and to be written, as those of a large corpus do not fit into memory.
    """
    feats = sources.feats
    places = parse_table(read_table(feats / "feats.scp"), feats / "feats.scp")
    check_archives(places, "make the features again (kdasr feats)")
    lacking = next((name for name in spikes if name not in places), None)
    if lacking is not None:
        raise UserError(f"{feats}/feats.scp: {lacking} of {sources.alignment} is missing; make its features")
    sequences = {name: [token for _, token in row] for name, row in spikes.items()}
    states = known_states(sources, sequences, numbers, like)
    sizes, stats = survey(features_of(places, spikes, feats.name))
    for name, size in sizes.items():
        if spikes[name] and spikes[name][-1][0] >= size:
            raise UserError(
                f"{name}: a token of {sources.alignment} is at frame {spikes[name][-1][0]}, its features in {feats} "
                f"end at {size - 1}; make both from the same audio"
            )
    mean, std = (stats.mean, stats.std) if like is None else (np.array(like["mean"]), np.array(like["std"]))  # (F,)
    if mean.shape != stats.mean.shape:
        raise UserError(f"{feats}: has {len(stats.mean)} bins, {sources.like} {len(mean)}; make features of as many")
    left, right = numbers["left"], numbers["right"]
    labels = [label(spikes[name], size, states, numbers["reach"]) for name, size in sizes.items()]
    joined = np.concatenate(labels)  # (N,)
    firsts = np.cumsum([0, *(size + left + right for size in sizes.values())])
    starts = [np.arange(first, first + size) for first, size in zip(firsts, sizes.values(), strict=False)]
    with atomic_write(out / FEATURES, "wb") as stream:
        form = {"descr": "<f2", "fortran_order": False, "shape": (int(firsts[-1]), len(mean))}
        np.lib.format.write_array_header_1_0(stream, form)
        for _, x in features_of(places, spikes, out.name):
            normal = ((x - mean) / std).astype("<f2")  # (T, F)
            stream.write(np.pad(normal, ((left, right), (0, 0)), mode="edge").tobytes())
    for path, array in ((STARTS, np.concatenate(starts)), (LABELS, joined.astype(np.int16))):
        with atomic_write(out / path, "wb") as stream:
            np.save(stream, array)
    write_table(out / "utterances", {name: str(size) for name, size in sizes.items()})
    write_table(out / "tokens", {name: " ".join(row) for name, row in sequences.items()})
    own = np.bincount(joined, minlength=len(states))  # (states,)
    return {
        "utterances": len(sizes),
        "frames": len(joined),
        "silence": float(own[0] / len(joined)),
        "bins": len(mean),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "counts": own.tolist() if like is None else like["counts"],
        "states": states.to_dict(),
    }


def known_states(
    sources: Sources,
    sequences: dict[str, list[str]],
    numbers: dict[str, int],
    like: dict[str, Any] | None,
) -> States:
    """The states of the training set, or those of --like.

    Raises:
        UserError: there are too many for labels.npy, or --like has none for a token.
    """
    if like is None:
        states = build(sequences.values(), numbers["positions"], numbers["min_count"])
        if len(states) > MOST_STATES:
            raise UserError(f"--min_count {numbers['min_count']}: {len(states)} states, too many; give a higher one")
        return states
    states = States.from_dict(like["states"])
    for name, sequence in sequences.items():
        for token in sequence:
            if token not in states.tokens:
                raise UserError(
                    f"{sources.alignment}: {name} has {token!r}, a token that {sources.like} lacks; leave it out"
                )
    return states


def survey(matrices: Iterable[tuple[str, np.ndarray]]) -> tuple[dict[str, int], Stats]:
    """The frames of each utterance, and the statistics of all; UserError if their bins differ."""
    sizes, parts = {}, []
    for name, x in matrices:
        part = accumulate(x)
        if parts and part.sum.shape != parts[0].sum.shape:
            raise UserError(
                f"{name}: {x.shape[1]} bins, others have {len(parts[0].sum)}; make all features the same way"
            )
        sizes[name] = len(x)
        parts.append(part)
    return sizes, merge(parts)


def features_of(places: dict[str, Place], names: Iterable[str], what: str) -> Iterator[tuple[str, np.ndarray]]:
    """Features (T, F) of some utterances by their entries in feats.scp.

    Raises:
        UserError: they cannot be read, have no frame, or hold values that are not numbers; the utterance is named.
    """
    for name in tqdm(names, unit="utterance", desc=what, disable=None):
        x = read_matrix(name, places[name])  # (T, F)
        if not len(x):
            raise UserError(f"{name}: {places[name].entry()} has no frame; leave the utterance out, and align anew")
        yield name, x


def record_of(directory: Path) -> dict[str, Any]:
    """frames.json; UserError if it is absent."""
    if not (directory / RECORD).is_file():
        raise UserError(f"{directory / RECORD}: no such file; make it first: kdasr frames data")
    return read_json(directory / RECORD)
