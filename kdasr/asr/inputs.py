"""What a student and the teachers beside it read of a set: features, or audio of a sampling rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdasr.asr import set_by_us
from kdasr.data.cut_lists import write_cuts
from kdasr.data.places import Place, parse_table
from kdasr.data.utterances import SPEEDS, Reading, Utterance, audio_of
from kdasr.errors import UserError
from kdasr.files import read_numbers, read_table, read_yaml, write_table
from kdasr.models import read_config, sampling_rate
from kdasr.shards import digest

OTHER_RATE = "has {found} Hz, the model takes {rate}; resample it (--resample)"
Rows = Mapping[str, Place] | Mapping[str, Utterance]  # of features, or of audio


class Input(NamedTuple):
    """Features, or audio."""

    rate: int | None = None  # Hz of audio; None: features

    @property
    def table(self) -> str:
        """The file that ESPnet's trainer is given."""
        return "audio" if self.rate else "feats.scp"

    @property
    def type(self) -> str:
        """What ESPnet calls the type of that file; that of audio is kdasr's own (kdasr.asr.audio_type)."""
        return f"audio_{self.rate}" if self.rate else "kaldi_ark"

    def __str__(self) -> str:
        return f"audio of {self.rate} Hz" if self.rate else "features"

    def read(self, directory: Path, reading: Reading) -> Rows:
        """Where the inputs of a set's utterances are; UserError for lists that are malformed."""
        if self.rate:
            return audio_of(directory, reading)
        return parse_table(read_table(directory / "feats.scp"), directory / "feats.scp")

    def write(self, path: Path, rows: Any) -> None:
        """Write some of them for the trainer."""
        if self.rate:
            write_cuts(path, rows)
        else:
            write_table(path, {key: place.entry() for key, place in rows.items()})

    def lengths(self, directory: Path, rows: Any) -> dict[str, float]:
        """Frames, or samples, of a set's utterances; audio whose length no list says is read for it.

        Raises:
            UserError: audio of another rate, or that cannot be read.
        """
        if not self.rate:
            return read_numbers(directory / "utt2num_frames")
        from kdasr.data.cuts import Recordings, read_cut  # loads soundfile, which --help need not wait for

        if (directory / "utt2dur").is_file():
            read_cut(next(iter(rows.values())), Recordings(), self.rate, OTHER_RATE)  # before hours are waited for
            return {key: seconds * self.rate for key, seconds in read_numbers(directory / "utt2dur").items()}
        recordings = Recordings()
        return {key: len(read_cut(row, recordings, self.rate, OTHER_RATE)) for key, row in rows.items()}

    def digests(self, directory: Path) -> Any:
        """What stands for the inputs in a model's record."""
        if not self.rate:
            return digest(directory / "utt2num_frames")
        files = [directory / name for name in ("wav.scp", "segments", SPEEDS)]
        return {path.name: digest(path) for path in files if path.is_file()}


def student_input(file: str, espnet: Sequence[str] = ()) -> Input:
    """What a student takes: audio if its configuration has a `frontend`, else features.

    Args:
        file: the configuration.
        espnet: further options of ESPnet's trainer.

    Raises:
        UserError: settings of inputs that contradict each other, or settings that would be replaced.
    """
    config = read_yaml(file)
    if config.get("frontend") not in (None, "none") and config.get("input_size") is not None:
        raise UserError(f"{file}: has a frontend, which takes audio, and input_size, which is of features")
    set_by_us.refuse(config, file, espnet)
    if "stats_file" in (config.get("normalize_conf") or {}):
        raise UserError(
            f"{file}: normalize_conf has a stats_file, but the statistics are those of the training set; remove it"
        )
    if config.get("frontend") in (None, "none"):
        if config.get("frontend_conf"):
            raise UserError(f"{file}: has frontend_conf, but no frontend; add `frontend: default`, or remove it")
        return Input()
    return Input(sampling_rate(config.get("frontend_conf"), file))


def common_input(directories: Sequence[str]) -> Input:
    """What the teachers beside a student, one at least, take.

    Raises:
        UserError: they take different inputs, or one is no model.
    """
    each = {directory: _input_of(directory) for directory in directories}
    first, one = next(iter(each.items()))
    other = next((directory for directory in each if each[directory] != one), None)
    if other:
        raise UserError(f"{first} takes {one}, {other} takes {each[other]}; teachers have to take the same")
    return one


def _input_of(directory: str) -> Input:
    config = read_config(directory)
    if config["input_size"] is not None:
        return Input()
    return Input(sampling_rate(config.get("frontend_conf"), f"{directory}/config.yaml"))
