"""Transcripts from elsewhere, such as a teacher's, for a data or feature directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdasr.data.parts import LongDir, in_order, put_rows
from kdasr.errors import UserError
from kdasr.keyed import rows, table


def write_transcribed(source: Path, text: Path, out: Path) -> None:
    """Write the utterances of a directory that a text has, with this text, and print how many there are.

    Args:
        source: a data directory, or one with features; transcripts of its own are not taken.
        text: Kaldi's text form; utterances of other sets in it are passed over.
        out: the directory.

    Raises:
        UserError: `out` is `source`, or the text has none of its utterances.
    """
    if out.resolve() == source.resolve():
        raise UserError(f"{out}: is the source itself; name another --out")
    with LongDir(source) as whole, table(text) as said:
        there = np.isin(whole.utt2spk.hashes, said.hashes)
        if not there.any():
            first = next(rows(whole.utt2spk), ("none", ""))[0]
            raise UserError(f"{text}: has no utterance of {source}, as {first}; name its transcripts")
        places = in_order(said)
        ours = np.isin(said.hashes[places], whole.utt2spk.hashes)
        tables = whole.part(there) | {"text": rows(said, places[ours])}
        put_rows(out, tables, int(there.sum()), whole.cmvn())
        print(f"{out}: {there.sum()} of {len(there)} utterances of {source}, with the text of {text}")
