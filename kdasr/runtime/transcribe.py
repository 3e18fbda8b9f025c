"""Files, folders or a data directory through a recogniser, and out as text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdasr.data.audio import read_audio
from kdasr.data.cuts import Recordings, read_cut
from kdasr.data.matrices import check_archives, read_matrix
from kdasr.data.places import Place, parse_table
from kdasr.data.utterances import Utterance, audio_of
from kdasr.errors import UserError
from kdasr.files import atomic_write, read_numbers, read_table
from kdasr.runtime.audio import resampled
from kdasr.runtime.formats import written
from kdasr.runtime.recognizer import Recognizer, Transcript
from kdasr.runtime.settings import SUBTITLES, Transcribing

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".sph", ".wv1", ".wv2")
SECONDS_A_FRAME = 0.01


class Item(NamedTuple):
    """Something to transcribe."""

    name: str  # a path, or an utterance
    hear: Callable[[], Transcript]


def transcribe(given: Transcribing) -> None:
    """Transcribe all, write each as it is done, and go on where one cannot be read.

    Raises:
        UserError: no model, nothing to transcribe, or some that could not be read (each was named on stderr).
    """
    recognizer = Recognizer(
        given.model,
        precision=given.precision,
        beam=given.beam,
        nbest=given.nbest,
        ctc_weight=given.ctc_weight,
        penalty=given.penalty,
        maxlenratio=given.maxlenratio,
        minlenratio=given.minlenratio,
        normalize_length=given.normalize_length,
        longest=given.longest,
        threads=given.threads,
    )
    items = of_data(recognizer, given.data) if given.data is not None else of_files(recognizer, given.audio)
    if given.format in SUBTITLES and given.out is None and len(items) > 1:
        raise UserError(
            f"--format {given.format}: is a file for each audio file, and there are {len(items)}; give --out DIR"
        )
    failed = 0
    for item in items:
        try:
            text = written(given.format, item.name, item.hear())
        except UserError as error:
            print(f"kdasr transcribe: {error}", file=sys.stderr)
            failed += 1
            continue
        if given.out is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            kind = {"text": "txt", "json": "json"}.get(given.format, given.format)
            with atomic_write(Path(given.out) / f"{Path(item.name).stem}.{kind}") as stream:
                stream.write(text)
    if failed:
        raise UserError(f"{failed} of {len(items)} could not be transcribed; the reasons stand above")


def of_files(recognizer: Recognizer, names: tuple[str, ...]) -> list[Item]:
    """Files as they are named, and all audio under folders, sorted."""
    items: list[Item] = []
    for name in names:
        paths = [name]
        if Path(name).is_dir():
            paths = sorted(
                str(path) for path in Path(name).rglob("*") if path.suffix.lower() in AUDIO and path.is_file()
            )
            if not paths:
                raise UserError(f"{name}: holds no audio ({' '.join(AUDIO)}); name another folder, or files")
        items += [Item(path, lambda path=path: recognizer.transcribe(path)) for path in paths]
    return items


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
