"""Files, folders or a data directory through a recogniser, and out as text."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.runtime.formats import written
from kdasr.runtime.recognizer import Recognizer, Transcript
from kdasr.runtime.settings import SUBTITLES, Transcribing

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".sph", ".wv1", ".wv2")


class Item(NamedTuple):
    """Something to transcribe."""

    name: str  # a path, or an utterance
    hear: Callable[[], Transcript]


def transcribe(given: Transcribing) -> None:
    """Transcribe all, write each as it is done, and go on where a file cannot be read; a set ends there.

    Raises:
        UserError: no model, nothing to transcribe, or some that could not be read (each file was named on stderr).
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
    if given.data is None:
        items = of_files(recognizer, given.audio)
    else:
        from kdasr.runtime.data_dir import of_data  # here: a file by itself need not wait for it

        items = of_data(recognizer, given.data)
    if given.format in SUBTITLES and given.out is None and len(items) > 1:
        raise UserError(
            f"--format {given.format}: is a file for each audio file, and there are {len(items)}; give --out DIR"
        )
    files = {} if given.out is None else files_of(items, Path(given.out), given.format, given.data is None)
    failed = 0
    for item in items:
        try:
            text = written(given.format, item.name, item.hear())
        except UserError as error:
            if given.data is not None:
                raise  # of a set all are wanted, or a score would be of others
            print(f"kdasr transcribe: {error}", file=sys.stderr)
            failed += 1
            continue
        if given.out is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            with atomic_write(files[item.name]) as stream:
                stream.write(text)
    if failed:
        raise UserError(f"{failed} of {len(items)} could not be transcribed; the reasons stand above")


def files_of(items: list[Item], out: Path, form: str, by_stem: bool) -> dict[str, Path]:
    """Where each item is written: by its name, of a path the last part without its ending (`by_stem`).

    Raises:
        UserError: two would be one file.
    """
    ending = "txt" if form == "text" else form
    files = {
        item.name: out / f"{Path(item.name).stem if by_stem else item.name.replace('/', '_')}.{ending}"
        for item in items
    }
    seen: dict[Path, str] = {}
    for name, file in files.items():
        if file in seen:
            raise UserError(
                f"{seen[file]} and {name}: would both be written to {file}; name their folders one by one, each with "
                "an --out of its own"
            )
        seen[file] = name
    return files


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
