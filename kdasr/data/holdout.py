"""Set part of a data or feature directory aside as untranscribed audio.

Distillation can learn from untranscribed speech (the teacher transcribes it). To measure what that is worth,
a share of a transcribed set is cut off and loses its `text`, so that nothing later can use it by accident.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from kdasr.data.parts import LongDir
from kdasr.data.utterances import original_of
from kdasr.errors import UserError


def hold_out(source: Path, labelled: Path, unlabelled: Path, share: float, seed: int) -> None:
    """Write both parts, and print their sizes.

    Args:
        source: a data directory, or one with features.
        labelled: where the transcribed part goes.
        unlabelled: where the rest goes.
        share: part of the utterances that keeps its text, above 0 and below 1.
        seed: of the draw; the same seed draws the same.

    Raises:
        UserError: two of the directories are one, `source` has no text, or a part would be empty.
    """
    places = {path.resolve() for path in (source, labelled, unlabelled)}
    if len(places) < 3:
        raise UserError(f"{source}, {labelled}, {unlabelled}: name three different directories")
    with LongDir(source) as whole:
        if "text" not in whole.tables:
            raise UserError(f"{source}/text: no such file; a directory without transcripts has nothing to set aside")
        places = whole.shuffled(seed)
        kept = places < wanted(share, int(places.max(initial=-1)) + 1)
        # The labelled part takes the whole's CMVN statistics as they are: they come from the audio alone, and
        # untranscribed audio may be used. manifest.json tells of the features' making, not of the parts'.
        whole.put(labelled, kept, cmvn=whole.cmvn())
        whole.put(unlabelled, ~kept, without="text")
    print(f"{labelled}: {kept.sum()} utterances, transcribed")
    print(f"{unlabelled}: {(~kept).sum()} utterances, without text")


def wanted(share: float, groups: int) -> int:
    """How many of so many groups are this share of them; UserError where that leaves one of the two parts empty."""
    count = round(share * groups) if 0 < share < 1 else 0
    if not 0 < count < groups:
        raise UserError(
            f"--transcribed {share}: leaves one part of {groups} utterances empty; give one between 0 and 1"
        )
    return count


def shuffled(utterances: Iterable[str], seed: int, originals: Mapping[str, str]) -> list[list[str]]:
    """Each utterance with its copies at other speeds, in an order that the seed determines.

    Copies go where their original goes, or its words would be in both parts: those that `originals` (utt2uniq)
    says, and those whose ids begin like sp0.9-.
    """
    groups: dict[str, list[str]] = {}
    for utterance in utterances:
        original = originals.get(utterance, original_of(utterance))
        groups.setdefault(original, []).append(utterance)
    # In the order of their hashes: unlike random.shuffle's, it is the same in every version of Python, and a
    # larger share takes all that a smaller one does.
    return [groups[name] for name in sorted(groups, key=lambda n: hashlib.sha256(f"{seed} {n}".encode()).digest())]
