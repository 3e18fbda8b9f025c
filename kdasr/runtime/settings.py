"""What `kdasr transcribe` and `kdasr translate` are given, read without numpy."""

from __future__ import annotations

from dataclasses import dataclass

from kdasr.errors import UserError

PRECISIONS = ("fp32", "int8")
SUBTITLES = ("srt", "vtt")  # a file each, with times
FORMATS = ("text", "json", "trn", *SUBTITLES)
TEXT_FORMATS = ("text", "json")  # of translations
STDIN = "-"


@dataclass(frozen=True)
class Transcribing:
    """What to transcribe, and how; the search's options are None where the bundle decides.

    Raises:
        UserError: neither audio nor a data directory, or both.
    """

    model: str  # bundle, or ESPnet model directory
    audio: tuple[str, ...] = ()  # files and folders
    data: str | None = None  # Kaldi data directory
    format: str = "text"
    out: str | None = None  # directory for a file of each
    precision: str | None = None
    longest: float = 20.0  # seconds
    threads: int = 1
    beam: int | None = None
    nbest: int | None = None
    ctc_weight: float | None = None
    penalty: float | None = None
    maxlenratio: float | None = None
    minlenratio: float | None = None
    normalize_length: bool | None = None

    def __post_init__(self) -> None:
        if bool(self.audio) == (self.data is not None):
            raise UserError("expected audio: name files or folders, or a data directory (--data DIR), and not both")


@dataclass(frozen=True)
class Translating:
    """What to translate, and how; the search's options are None where the bundle decides.

    Raises:
        UserError: neither texts nor a data directory, or both; standard input beside files.
    """

    model: str  # bundle, or ESPnet model directory
    texts: tuple[str, ...] = ()  # files; - is standard input
    data: str | None = None  # data directory with text.src
    format: str = "text"
    precision: str | None = None
    threads: int = 1
    beam: int | None = None
    nbest: int | None = None
    penalty: float | None = None
    maxlenratio: float | None = None
    minlenratio: float | None = None
    normalize_length: bool | None = None

    def __post_init__(self) -> None:
        if bool(self.texts) == (self.data is not None):
            raise UserError("expected text: name files (- for standard input), or a data directory (--data DIR)")
        if STDIN in self.texts and len(self.texts) > 1:
            raise UserError(f"{STDIN}: is standard input, which is read alone; name the files in another call")
