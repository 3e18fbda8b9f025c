"""The utterances of a Kaldi data directory, for a recogniser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdasr.data.audio import read_audio
from kdasr.data.cuts import Recordings, read_cut
from kdasr.data.matrices import check_archives, read_matrix
from kdasr.data.places import Place, parse_table
from kdasr.data.utterances import Utterance, audio_of
from kdasr.errors import UserError
from kdasr.files import read_numbers, read_table
from kdasr.runtime.audio import resampled
from kdasr.runtime.recognizer import Recognizer, Transcript
from kdasr.runtime.transcribe import Item

SECONDS_A_FRAME = 0.01


def of_data(recognizer: Recognizer, data: str) -> list[Item]:
    """The utterances of a Kaldi data directory: by feats.scp if the model takes features and it has one, else audio."""
    directory = Path(data)
    if recognizer.model.features is not None and (directory / "feats.scp").is_file():
        return list(_by_features(recognizer, directory))
    if not (directory / "wav.scp").is_file():
        raise UserError(
            f"{data}: has neither feats.scp nor wav.scp that {recognizer.model.path} could read; name a data directory"
        )
    return list(_by_audio(recognizer, directory))


def _by_features(recognizer: Recognizer, data: Path) -> Iterator[Item]:
    places = parse_table(read_table(data / "feats.scp"), data / "feats.scp")
    try:
        import kaldiio.matio  # noqa: F401 (here: only who has Kaldi's archives needs it)
    except ModuleNotFoundError:
        raise UserError(
            f"{data}/feats.scp: Kaldi's archives are read by kaldiio, which is not installed; pip install kaldiio, or "
            "name a data directory of audio alone"
        ) from None
    check_archives(places, "make the features again (kdasr feats)")
    lengths = read_numbers(data / "utt2dur") if (data / "utt2dur").is_file() else {}
    bins = recognizer.bins

    def hear(name: str, place: Place) -> Transcript:
        x = read_matrix(name, place)  # (T, F)
        if len(x) and x.shape[1] != bins:
            raise UserError(
                f"{name}: features of shape {x.shape}, the model takes {bins} bins a frame; use its own features"
            )
        seconds = lengths.get(name, len(x) * SECONDS_A_FRAME)
        return recognizer.transcribe_features(np.ascontiguousarray(x, dtype=np.float32), seconds)

    for name, place in places.items():
        yield Item(name, lambda name=name, place=place: hear(name, place))


def _by_audio(recognizer: Recognizer, data: Path) -> Iterator[Item]:
    rate = recognizer.rate

    def read(place: Place, name: str) -> tuple[np.ndarray, int]:
        samples, found = read_audio(place, name, mix=True)
        return resampled(samples, found, rate, name), rate

    recordings = Recordings(read=read)

    def hear(row: Utterance) -> Transcript:
        return recognizer.transcribe_samples(read_cut(row, recordings, rate, ""), cut=False)

    for name, row in audio_of(data).items():
        yield Item(name, lambda row=row: hear(row))
