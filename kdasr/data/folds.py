"""Cut a data or feature directory into N parts for cross-fitting.

A teacher knows the audio it was trained on by heart, so a student learns little from its hypotheses of that audio that
the references do not, and all but the first are wrong. Cross-fitted hypotheses are those of teachers that did not
hear the audio: for each part one is trained on all the others (rest1, rest2, ...) and decodes the part (fold1,
fold2, ...); `kdasr targets` takes the N archives together.
"""

from __future__ import annotations

from pathlib import Path

from kdasr.data.parts import LongDir
from kdasr.errors import UserError


def write_folds(source: Path, folds: int, seed: int, out: Path) -> None:
    """Write the parts and what is left without each, and print their sizes.

    Args:
        source: a data directory, or one with features.
        folds: number of parts.
        seed: of the draw; the same seed draws the same.
        out: gets fold1 ... foldN and rest1 ... restN.

    Raises:
        UserError: more parts than utterances, or `out` is a place that would lose something.
    """
    with LongDir(source) as whole:
        shuffled = whole.shuffled(seed)
        groups = int(shuffled.max(initial=-1)) + 1
        if not 2 <= folds <= groups:
            raise UserError(
                f"--folds {folds}: {source} has {groups} utterances (copies at other speeds aside); "
                "give 2 or more, up to that number"
            )
        places = {f"{kind}{n}": out / f"{kind}{n}" for kind in ("fold", "rest") for n in range(1, folds + 1)}
        if source.resolve() in {place.resolve() for place in places.values()}:
            raise UserError(f"{source}: would be replaced by a part of itself; name another --out")
        others = {path.name for kind in ("fold", "rest") for path in out.glob(f"{kind}[0-9]*")} - places.keys()
        if others:
            raise UserError(
                f"{out}: holds {min(others)} of a cut into more parts than {folds}; remove the directory, "
                "or name another --out"
            )
        # As in holdout: statistics of the whole come from the audio alone, so a teacher of the rest may use them.
        cmvn = whole.cmvn()
        for n in range(1, folds + 1):
            part = shuffled % folds == n - 1
            made = whole.put(places[f"fold{n}"], part)
            made |= whole.put(places[f"rest{n}"], ~part, cmvn=cmvn)
            print(
                f"{places[f'fold{n}']}: {part.sum()} utterances; {places[f'rest{n}']}: the other {(~part).sum()}"
                + ("" if made else " (there already)")
            )
