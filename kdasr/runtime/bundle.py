"""A bundle: a directory, or a zip of the same files, that `kdasr export` wrote; read and checked.

bundle.json says what the other files are and has their checksums and its own. Nothing in a bundle is run but its
graphs, which onnxruntime checks. docs/deploy.md describes the files.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr.data.feats_settings import KINDS
from kdasr.errors import UserError
from kdasr.runtime.search import Vocabulary
from kdasr.runtime.spell import Spelling
from kdasr.search.options import SearchOptions

FORMAT = 1
SETTINGS = "bundle.json"
TOKENS = "tokens.txt"
SOURCE_TOKENS, SOURCE_PIECES = "source_tokens.txt", "source.model"  # of what a translator reads
SEAL = "sha256"
OF_AUDIO = ("sample_rate", "shortest", "frame_seconds", "first_frame_seconds")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
TYPES = ("char", "bpe", "word")  # of tokens; bpe is sentencepiece of any algorithm
LARGEST = 1 << 32  # bytes of a file of a bundle
AGAIN = "copy it again, or export it again (kdasr export)"


@dataclass(frozen=True)
class Bundle:
    """An exported model.

    Attributes:
        path: the directory or zip.
        name: of the model.
        rate: of the audio it takes, Hz; 0 of a model that translates, as all that is of audio.
        features: settings of its features (`kind`, one of kdasr.data.feats_settings.KINDS, and `bins`); None if its
            graph takes samples.
        source: how the text that it reads is cut into tokens (`kind`, one of TYPES, `symbols` that are one token, and
            `sos`, the id of what stands before it); None of a model that takes audio.
        shortest: input frames (or samples) of the shortest utterance that gives a frame.
        frame_seconds, first_frame_seconds: encoded frame i is at first + i * frame_seconds.
        spelling, vocabulary: its tokens.
        options: of the search, where the user gives none.
        networks: precision -> {"encoder": file, "decoder": file}; a model of CTC alone has no decoder.
        has_ctc: whether its encoder gives CTC's log probabilities.
        memories, states: how many tensors the decoder has of each.
        card: what is told of it.
        sums: sha256 of each file.
    """

    path: Path
    name: str
    rate: int
    features: Mapping[str, Any] | None
    source: Mapping[str, Any] | None
    shortest: int
    frame_seconds: float
    first_frame_seconds: float
    spelling: Spelling
    vocabulary: Vocabulary
    options: SearchOptions
    networks: Mapping[str, Mapping[str, str]]
    has_ctc: bool
    memories: int
    states: int
    card: Mapping[str, Any]
    sums: Mapping[str, str]

    def file(self, name: str) -> bytes:
        """A file of it, compared with its checksum; UserError if it is gone or was changed."""
        data = _file(self.path, name)
        if hashlib.sha256(data).hexdigest() != self.sums.get(name):
            raise UserError(f"{self.path}: {name} is not as it was exported (its sha256 is another); {AGAIN}")
        return data


def is_bundle(path: str | Path) -> bool:
    """Whether this is a bundle, or a zip, or lacks: whatever is no directory of another kind."""
    path = Path(path)
    return not path.is_dir() or (path / SETTINGS).is_file()


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle's settings and tokens.

    Raises:
        UserError: no bundle, one of another version, or one that was cut or changed.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such bundle; make one: kdasr export --model DIR --out {path}")
    settings = _settings(path)
    if settings.get("format") != FORMAT:
        raise UserError(
            f"{path}: is a bundle of format {settings.get('format')!r}, written by kdasr {settings.get('kdasr')}; this "
            f"one reads format {FORMAT}: export it again, or install that version"
        )
    if settings.get(SEAL) != seal(settings):
        raise UserError(f"{path}: {SETTINGS} is not as it was exported (its sha256 is another); {AGAIN}")
    try:
        return _bundle(path, settings)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: {SETTINGS} is damaged ({type(error).__name__}: {error}); {AGAIN}") from None


def seal(settings: Mapping[str, Any]) -> str:
    """The checksum that bundle.json has of its own settings: SHA-256 of all but the checksum, as JSON of one form."""
    rest = {name: value for name, value in settings.items() if name != SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _settings(path: Path) -> dict[str, Any]:
    """What bundle.json holds."""
    try:
        settings = json.loads(_file(path, SETTINGS).decode())
    except (ValueError, RecursionError):
        raise UserError(f"{path}: {SETTINGS} is not JSON; {AGAIN}") from None
    if not isinstance(settings, dict):
        raise UserError(f"{path}: {SETTINGS} holds no settings; {AGAIN}")
    return settings


def _bundle(path: Path, settings: dict[str, Any]) -> Bundle:
    sums = {_named(path, name): str(sum_) for name, sum_ in settings["files"].items()}
    tokens = settings["tokens"]
    listed = _checked(path, TOKENS, sums).decode().removesuffix("\n").split("\n")
    ids = {name: int(tokens[name]) for name in ("blank", "sos", "eos")}
    networks = {
        precision: {part: _named(path, file) for part, file in files.items()}
        for precision, files in settings["networks"].items()
    }
    features = settings["features"] if settings["input"] == "features" else None
    if features is not None and features["kind"] not in KINDS:
        raise ValueError(f"features of kind {features['kind']!r}")
    if not networks or any("encoder" not in files for files in networks.values()):
        raise ValueError("no network")
    if not all(0 <= number < len(listed) for number in ids.values()) or tokens["kind"] not in TYPES:
        raise ValueError("its tokens are others than its list")
    source = settings["source"] if settings["input"] == "text" else None
    if source is not None and (source["kind"] not in TYPES or not isinstance(source["symbols"], list)):
        raise ValueError(f"source text of kind {source['kind']!r}")
    heard = settings if source is None else dict.fromkeys(OF_AUDIO, 0)
    silent = frozenset(int(number) for number in tokens["silent"])
    return Bundle(
        path=path,
        name=str(settings["name"]),
        rate=int(heard["sample_rate"]),
        features=features,
        source=source,
        shortest=int(heard["shortest"]),
        frame_seconds=float(heard["frame_seconds"]),
        first_frame_seconds=float(heard["first_frame_seconds"]),
        spelling=Spelling(tokens["kind"], tuple(listed), silent, str(tokens["space"]), str(tokens["unk"])),
        vocabulary=Vocabulary(len(listed), **ids, eos_always=bool(settings["eos_always"])),
        options=SearchOptions(**settings["search"]).check(),
        networks=networks,
        has_ctc=bool(settings["ctc"]),
        memories=int(settings["memories"]),
        states=int(settings["states"]),
        card=settings["card"],
        sums=sums,
    )


def _named(path: Path, name: object) -> str:
    """The name of a file inside a bundle; UserError if it could be one outside."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(f"{path}: {SETTINGS} names {name!r}, which is no file inside a bundle; {AGAIN}")
    return name


def _checked(path: Path, name: str, sums: Mapping[str, str]) -> bytes:
    data = _file(path, name)
    if hashlib.sha256(data).hexdigest() != sums.get(name):
        raise UserError(f"{path}: {name} is not as it was exported (its sha256 is another); {AGAIN}")
    return data


def _file(path: Path, name: str) -> bytes:
    """The bytes of a file of a bundle."""
    if path.is_dir():
        file = path / name
        if not file.is_file():
            raise UserError(f"{path}: has no {name}, so it is no bundle, or was cut; {AGAIN}")
        return file.read_bytes()
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(name)
            if info.file_size > LARGEST:
                raise UserError(f"{path}: {name} would have {info.file_size >> 30} GiB; {AGAIN}")
            return archive.read(info)
    except KeyError:
        raise UserError(f"{path}: holds no {name}, so it is no bundle; {AGAIN}") from None
    except (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
        zipfile.zlib.error,
    ) as error:
        raise UserError(f"{path}: is no bundle, or was cut ({error}); {AGAIN}") from None
