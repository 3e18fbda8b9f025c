"""What features are made with: the options of `kdasr feats`, read without numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdasr.data.utterances import AS_IT_IS, Reading
from kdasr.errors import UserError
from kdasr.settings import check_least

KINDS = ("fbank", "spectrogram")


@dataclass(frozen=True)
class FeatsSettings:
    """One feature directory.

    Raises:
        UserError: `nj` or `min_duration` is out of its range.
    """

    data: Path  # Kaldi data directory: wav.scp, utt2spk, [text, segments]
    out: Path  # feature directory to write
    nj: int = 2  # processes on this machine
    job: str | None = None  # "J/N": the J-th of N parts only; `merge` follows when all are done
    merge: bool = False  # put the tables of finished parts together
    speed: str = "1.0"  # speed factors, as 0.9,1.0,1.1
    cmvn: str = "global"  # global: statistics only; speaker: features normalised by speaker
    rate: int = 16000  # sampling rate of the audio, Hz; another is refused
    type: str = "fbank"  # one of KINDS
    bins: int | None = None  # mel bins of fbank; None for 80
    min_duration: float | None = None  # seconds; what is shorter, or has no frame, is left out; None: refused
    reading: Reading = AS_IT_IS  # of audio of another rate, or of several channels

    def __post_init__(self) -> None:
        check_least("nj", self.nj, 1)
        if self.min_duration is not None and not 0 <= self.min_duration < float("inf"):
            raise UserError(f"--min_duration {self.min_duration}: expected seconds, 0 or more")
