"""Cut a data or feature directory into N parts for cross-fitting.

A teacher knows the audio it was trained on by heart, so a student learns little from its hypotheses of that audio that
the references do not, and all but the first are wrong. Cross-fitted hypotheses are those of teachers that did not
hear the audio: for each part one is trained on all the others (rest1, rest2, ...) and decodes the part (fold1,
fold2, ...); `kdasr targets` takes the N archives together.
"""

from __future__ import annotations

from pathlib import Path

from kdasr.data.holdout import shuffled
from kdasr.data.kaldi_dir import CMVN, keep_utterances, put_dir, read_dir
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
    tables = read_dir(source)
    groups = shuffled(tables["utt2spk"], seed, tables.get("utt2uniq", {}))
    if not 2 <= folds <= len(groups):
        raise UserError(
            f"--folds {folds}: {source} has {len(groups)} utterances (copies at other speeds aside); "
            "give 2 or more, up to that number"
        )
    places = {f"{kind}{n}": out / f"{kind}{n}" for kind in ("fold", "rest") for n in range(1, folds + 1)}
    if source.resolve() in {place.resolve() for place in places.values()}:
        raise UserError(f"{source}: would be replaced by a part of itself; name another --out")
    others = sorted({path.name for kind in ("fold", "rest") for path in out.glob(f"{kind}[0-9]*")} - places.keys())
    if others:
        raise UserError(
            f"{out}: holds {others[0]} of a cut into more parts than {folds}; remove the directory, "
            "or name another --out"
        )
    # As in holdout: statistics of the whole come from the audio alone, so a teacher of the rest may use them.
    cmvn = (source / CMVN).read_bytes() if (source / CMVN).is_file() else None
    for n in range(1, folds + 1):
        part = {utterance for group in groups[n - 1 :: folds] for utterance in group}
        rest = tables["utt2spk"].keys() - part
        made = put_dir(places[f"fold{n}"], keep_utterances(tables, part))
        made |= put_dir(places[f"rest{n}"], keep_utterances(tables, rest), cmvn)
        print(
            f"{places[f'fold{n}']}: {len(part)} utterances; {places[f'rest{n}']}: the other {len(rest)}"
            + ("" if made else " (there already)")
        )
