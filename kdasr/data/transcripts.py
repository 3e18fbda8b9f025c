"""Transcripts from elsewhere, such as a teacher's, for a data or feature directory."""

from __future__ import annotations

from pathlib import Path

from kdasr.data.kaldi_dir import CMVN, keep_utterances, put_dir, read_dir
from kdasr.errors import UserError
from kdasr.files import read_table


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
    tables, said = read_dir(source), read_table(text)
    there = [utterance for utterance in tables["utt2spk"] if utterance in said]
    if not there:
        raise UserError(
            f"{text}: has no utterance of {source}, as {next(iter(tables['utt2spk']))}; name its transcripts"
        )
    cmvn = source / CMVN
    kept = keep_utterances(tables, there) | {"text": {utterance: said[utterance] for utterance in there}}
    put_dir(out, kept, cmvn.read_bytes() if cmvn.is_file() else None)
    print(f"{out}: {len(there)} of {len(tables['utt2spk'])} utterances of {source}, with the text of {text}")
