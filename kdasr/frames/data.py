"""`kdasr frames data`: features and an alignment -> the inputs and labels of a framewise acoustic model.

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

import argparse
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdasr import checkpoints
from kdasr.arrays import read_npy
from kdasr.data.matrices import check_archives, read_matrix
from kdasr.data.places import Place, parse_table
from kdasr.errors import UserError
from kdasr.files import atomic_write, only_writer, read_json, read_table, write_json, write_table
from kdasr.frames.align import ALIGNMENT, Spikes, check_made, read_alignment
from kdasr.frames.states import States, build, label
from kdasr.shards import digest

if TYPE_CHECKING:
    from torch import Tensor

    from kdasr.data.cmvn import Stats

EXAMPLES = """examples:
  kdasr feats --data data/train --bins 40 --out dump/fbank40/train
  kdasr frames data --feats dump/fbank40/train --alignment exp/frames/ali/train --out exp/frames/data/train
  # a test set: states, normalisation and windows as in training
  kdasr frames data --feats dump/fbank40/test --alignment exp/frames/ali/test --like exp/frames/data/train \\
      --out exp/frames/data/test
"""
FEATURES, STARTS, LABELS, RECORD = "features.npy", "starts.npy", "labels.npy", "frames.json"
DEFAULTS = {"left": 20, "right": 5, "positions": 3, "min_count": 100, "reach": 12}
MOST_STATES = np.iinfo(np.int16).max + 1


@dataclass(frozen=True)
class Frames:
    """Frames of utterances, one after the other, and their labels.

    Attributes:
        features: (M, F) float16, of the whole directory, on disk.
        starts: (N,) int64, the row of features at which each frame's window begins.
        labels: (N,) int64, states.
        names: of the utterances.
        sizes: frames of each utterance.
        states: what the labels mean.
        counts: training frames of each state; those of the --like set, if there was one.
        tokens: the aligned tokens of each utterance.
        skipped: utterances without frames here, as they were too short to be aligned.
        left, right: frames of a window before and after the one that is labelled.
    """

    features: np.ndarray
    starts: np.ndarray
    labels: Tensor
    names: list[str]
    sizes: list[int]
    states: States
    counts: list[int]
    tokens: dict[str, list[str]]
    skipped: list[str]
    left: int
    right: int

    @functools.cached_property
    def _windows(self) -> np.ndarray:
        """Views (M - W + 1, W F) of the windows that begin at each row."""
        bins = self.features.shape[1]
        length = (self.left + 1 + self.right) * bins
        return np.lib.stride_tricks.sliding_window_view(self.features.reshape(-1), length)[::bins]

    def inputs(self, chosen: Tensor) -> Tensor:
        """The windows (B, W F) float32 of some frames (B,), oldest frame first."""
        import torch

        return torch.from_numpy(self._windows[self.starts[chosen.cpu().numpy()]]).float()

    def only(self, share: float, seed: int) -> Frames:
        """Whole utterances in random order until they have a share (0 to 1) of the frames; at least one.

        States, normalisation and counts stay as they are, and so does the order of the utterances that are left.
        """
        import torch

        enough, kept, frames = share * len(self.starts), [], 0
        for number in np.random.default_rng(seed).permutation(len(self.sizes)).tolist():
            kept.append(number)
            frames += self.sizes[number]
            if frames >= enough:
                break
        kept.sort()
        begins = np.cumsum([0, *self.sizes])
        rows = np.concatenate([np.arange(begins[number], begins[number + 1]) for number in kept])
        names = [self.names[number] for number in kept]
        return replace(
            self,
            starts=self.starts[rows],
            labels=self.labels[torch.from_numpy(rows)],
            names=names,
            sizes=[self.sizes[number] for number in kept],
            tokens={name: self.tokens[name] for name in names},
        )


def load(directory: str | Path) -> Frames:
    """What `kdasr frames data` wrote; UserError if it is absent or something else."""
    import torch

    directory = Path(directory)
    about = _record(directory)
    remedy = f"remove {directory} and make it again (kdasr frames data)"
    if not {"states", "counts", "left", "right", "skipped"} <= about.keys():
        raise UserError(f"{directory / RECORD}: not what kdasr frames data writes; {remedy}")
    checkpoints.compare(directory, about.get("sha256"), remedy)
    features = read_npy(directory / FEATURES, remedy, mapped=True)  # (M, F)
    starts, labels = (read_npy(directory / name, remedy) for name in (STARTS, LABELS))  # (N,)
    try:
        sizes = {name: int(size) for name, size in read_table(directory / "utterances").items()}
        tokens = {name: line.split(" ") if line else [] for name, line in _tokens(directory).items()}
        states, counts, left, right = (about[key] for key in ("states", "counts", "left", "right"))
        if not len(starts) == len(labels) == sum(sizes.values()) or list(tokens) != list(sizes):
            raise ValueError("its files do not belong together")
        if len(features) != len(starts) + len(sizes) * (left + right):
            raise ValueError(f"{FEATURES} is not of these utterances")
        return Frames(
            features=features,
            starts=starts,
            labels=torch.from_numpy(labels).long(),
            names=list(sizes),
            sizes=list(sizes.values()),
            states=States.from_dict(states),
            counts=counts,
            tokens=tokens,
            skipped=about["skipped"],
            left=left,
            right=right,
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{directory}: not what kdasr frames data writes ({error}); make it again") from None


def identity(directory: str | Path) -> str:
    """Sixteen hex digits that name what `kdasr frames data` wrote; UserError if it is absent."""
    _record(Path(directory))
    return digest(Path(directory) / RECORD)


def _record(directory: Path) -> dict[str, Any]:
    if not (directory / RECORD).is_file():
        raise UserError(f"{directory / RECORD}: no such file; make it first: kdasr frames data")
    return read_json(directory / RECORD)


def _tokens(directory: Path) -> dict[str, str]:
    return read_table(directory / "tokens", empty=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames data`."""
    add = parser.add_argument
    add("--feats", required=True, metavar="DIR", help="features (kdasr feats --bins 40)")
    add("--alignment", required=True, metavar="DIR", help="what kdasr frames align wrote; its utterances are taken")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add("--like", metavar="DIR", help="take states, normalisation and all numbers below from this, the training set's")
    for name, what in (
        ("left", "frames of a window before the labelled one"),
        ("right", "frames of a window after the labelled one"),
        ("positions", "states of a token in a row"),
        ("min_count", "a token after a left neighbour seen so often has states of its own"),
        ("reach", "most frames of a token on each side of where it is aligned"),
    ):
        add(f"--{name}", type=int, metavar="N", help=f"{what} (default {DEFAULTS[name]})")


def run(args: argparse.Namespace) -> None:
    """Write the directory, unless it is there."""
    out = Path(args.out)
    like = _record(Path(args.like)) if args.like else None
    numbers = chosen_numbers(args, like)
    spikes, skipped = read_alignment(args.alignment)
    made = {
        "feats": digest_of(Path(args.feats) / "feats.scp"),
        "alignment": digest(Path(args.alignment) / ALIGNMENT),
        "like": digest(Path(args.like) / RECORD) if args.like else None,
        **numbers,
    }
    with only_writer(out):
        if (out / RECORD).is_file():
            there = read_json(out / RECORD)
            check_made(out, there, made)
            print(f"{out}: made already, {there['frames']:,} frames; to make it again: rm -r {out}")
            return
        about = write(args, out, spikes, numbers, like)
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


def chosen_numbers(args: argparse.Namespace, like: dict[str, Any] | None) -> dict[str, int]:
    """The values of the options in DEFAULTS; UserError if one is out of range, or given beside --like."""
    given = {name: value for name in DEFAULTS if (value := getattr(args, name)) is not None}
    for name, value in given.items():
        least = 1 if name in ("positions", "min_count") else 0
        if like is not None:
            raise UserError(f"--{name} {value}: comes from --like {args.like}; leave one of them out")
        if value < least:
            raise UserError(f"--{name} {value}: expected {least} or more")
    return {**DEFAULTS, **given} if like is None else {name: like[name] for name in DEFAULTS}


def write(
    args: argparse.Namespace, out: Path, spikes: dict[str, Spikes], numbers: dict[str, int], like: dict[str, Any] | None
) -> dict[str, Any]:
    """Write all files but frames.json, and return what it is to say.

    The features are read twice, for statistics and to be written, as those of a large corpus do not fit into memory.
    """
    places = parse_table(read_table(Path(args.feats) / "feats.scp"), Path(args.feats) / "feats.scp")
    check_archives(places, "make the features again (kdasr feats)")
    lacking = next((name for name in spikes if name not in places), None)
    if lacking is not None:
        raise UserError(f"{args.feats}/feats.scp: {lacking} of {args.alignment} is missing; make its features")
    sequences = {name: [token for _, token in row] for name, row in spikes.items()}
    states = known_states(args, sequences, numbers, like)
    sizes, stats = survey(features_of(places, spikes, Path(args.feats).name))
    for name, size in sizes.items():
        if spikes[name] and spikes[name][-1][0] >= size:
            raise UserError(
                f"{name}: a token of {args.alignment} is at frame {spikes[name][-1][0]}, its features in {args.feats} "
                f"end at {size - 1}; make both from the same audio"
            )
    mean, std = (stats.mean, stats.std) if like is None else (np.array(like["mean"]), np.array(like["std"]))  # (F,)
    if mean.shape != stats.mean.shape:
        raise UserError(f"{args.feats}: has {len(stats.mean)} bins, {args.like} {len(mean)}; make features of as many")
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
    args: argparse.Namespace,
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
                raise UserError(f"{args.alignment}: {name} has {token!r}, a token that {args.like} lacks; leave it out")
    return states


def survey(matrices: Iterable[tuple[str, np.ndarray]]) -> tuple[dict[str, int], Stats]:
    """The frames of each utterance, and the statistics of all; UserError if their bins differ."""
    from kdasr.data.cmvn import accumulate, merge

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
    from tqdm import tqdm

    for name in tqdm(names, unit="utterance", desc=what, disable=None):
        x = read_matrix(name, places[name])  # (T, F)
        if not len(x):
            raise UserError(f"{name}: {places[name].entry()} has no frame; leave the utterance out, and align anew")
        yield name, x
