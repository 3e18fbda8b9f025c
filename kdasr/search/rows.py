"""The utterances of a data directory, and where what a model takes of them is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kdasr.data.made import check_made
from kdasr.data.matrices import check_archives
from kdasr.data.places import Place, parse_table
from kdasr.data.source_text import Sentence, sentences, source_tokens
from kdasr.data.utterances import AS_IT_IS, Reading, Utterance, audio_of
from kdasr.errors import UserError
from kdasr.files import read_numbers, read_table
from kdasr.models import Source


class Row(NamedTuple):
    """An utterance and its input, or where that is."""

    name: str
    place: Place | Utterance | Sentence  # of its features, or of its audio; or the source text itself
    seconds: float | None  # of audio, if the data directory says it


def read_rows(data: str | Path, source: Source, reading: Reading = AS_IT_IS) -> list[Row]:
    """The utterances of a data directory.

    They are in the order of its feats.scp or, for a model that takes audio, of its `segments` or wav.scp, or, for one
    that translates, of text.src.

    Args:
        data: Kaldi data directory.
        source: the model that is to read them.
        reading: how audio is read.

    Raises:
        UserError: a list is missing, empty or malformed, holds a command, an archive of it was changed, or its features
            are known to be others than the model was trained on.
    """
    if source.reads:
        tokens = source_tokens(source.directory)
        found = sentences(data, tokens, f"the model in {source.directory}")
        return [Row(name, sentence, None) for name, sentence in found.items()]
    table = Path(data) / ("wav.scp" if source.sample_rate else "feats.scp")
    if not table.is_file():
        needs = "audio (wav.scp)" if source.sample_rate else "features (feats.scp; kdasr feats)"
        raise UserError(f"{table}: no such file; the model in {source.directory} takes {needs}")
    lengths = Path(data) / "utt2dur"
    seconds = read_numbers(lengths) if lengths.is_file() else {}
    if source.sample_rate:
        return [Row(name, row, seconds.get(name)) for name, row in audio_of(Path(data), reading).items()]
    places = parse_table(read_table(table), table)
    if not places:
        raise UserError(f"{table}: is empty; run the stage that writes it again")
    check_made(places, source.directory)
    check_archives(places, "make the features again (kdasr feats)")
    return [Row(name, place, seconds.get(name)) for name, place in places.items()]
