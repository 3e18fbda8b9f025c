"""What a student and the teachers beside it read of a set: features, audio of a sampling rate, or source text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdasr.asr import set_by_us
from kdasr.data.cut_lists import write_cuts
from kdasr.data.kaldi_dir import SOURCE
from kdasr.data.places import Place, parse_table
from kdasr.data.tokens import Tokens, load_tokens
from kdasr.data.utterances import SPEEDS, Reading, Utterance, audio_of
from kdasr.errors import UserError
from kdasr.files import read_numbers, read_table, read_yaml, write_table
from kdasr.models import read_config, sampling_rate
from kdasr.shards import digest
from kdasr.translation import FRONTENDS, is_mt

OTHER_RATE = "has {found} Hz, the model takes {rate}; resample it (--resample)"
Rows = Mapping[str, Place] | Mapping[str, Utterance] | Mapping[str, str]  # of features, of audio, or sentences


class Input(NamedTuple):
    """Features, audio or source text."""

    rate: int | None = None  # Hz of audio
    source: tuple[str, ...] = ()  # token list of source text

    @property
    def features(self) -> bool:
        """Whether it is features."""
        return not self.rate and not self.source

    @property
    def table(self) -> str:
        """The file that ESPnet's trainer is given."""
        return SOURCE if self.source else "audio" if self.rate else "feats.scp"

    @property
    def name(self) -> str:
        """What ESPnet calls it among the data."""
        return "src_text" if self.source else "speech"

    @property
    def type(self) -> str:
        """What ESPnet calls the type of that file; that of audio is kdasr's own (kdasr.asr.audio_type)."""
        return "text" if self.source else f"audio_{self.rate}" if self.rate else "kaldi_ark"

    def __str__(self) -> str:
        return "source text" if self.source else f"audio of {self.rate} Hz" if self.rate else "features"

    def lacks(self, directory: Path, who: str) -> str:
        """What a set lacks for `who` reads this, and how it is made; empty if it lacks nothing."""
        file, remedy = "feats.scp", f"make features first (kdasr feats --out {directory})"
        if self.rate:
            file, remedy = "wav.scp", "name its data directory"
        if self.source:
            file, remedy = SOURCE, "make its data directory first (kdasr data parallel)"
        return "" if (directory / file).is_file() else f"holds no {file}, and {who} takes {self}; {remedy}"

    def read(self, directory: Path, reading: Reading) -> Rows:
        """Where the inputs of a set's utterances are, or its sentences; UserError for lists that are malformed."""
        if self.source:
            return read_table(directory / SOURCE)
        if self.rate:
            return audio_of(directory, reading)
        return parse_table(read_table(directory / "feats.scp"), directory / "feats.scp")

    def write(self, path: Path, rows: Any) -> None:
        """Write some of them for the trainer."""
        if self.source:
            write_table(path, rows)
        elif self.rate:
            write_cuts(path, rows)
        else:
            write_table(path, {key: place.entry() for key, place in rows.items()})

    def lengths(self, directory: Path, rows: Any, source: Tokens | None = None) -> dict[str, float]:
        """Frames, samples or source tokens of a set's utterances; audio whose length no list says is read for it.

        Args:
            directory: of the set.
            rows: its inputs, as `read` gives them.
            source: the tokens of source text.

        Raises:
            UserError: audio of another rate, or that cannot be read.
        """
        if source:
            return {key: len(source.encode(text)) for key, text in rows.items()}
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
        if self.source:
            return digest(directory / SOURCE)
        if not self.rate:
            return digest(directory / "utt2num_frames")
        files = [directory / name for name in ("wav.scp", "segments", SPEEDS)]
        return {path.name: digest(path) for path in files if path.is_file()}


def student_input(file: str, espnet: Sequence[str] = (), src_tokens: str | None = None) -> Input:
    """What a student takes: text if it has source tokens, audio if its configuration has a `frontend`, else features.

    Args:
        file: the configuration.
        espnet: further options of ESPnet's trainer.
        src_tokens: directory of its source tokens.

    Raises:
        UserError: settings of inputs that contradict each other, or settings that would be replaced.
    """
    config = checked(file, espnet, of_text=bool(src_tokens))
    if src_tokens:
        return Input(source=tuple(load_tokens(src_tokens).list))
    if config.get("frontend") in (None, "none"):
        return Input()
    return Input(sampling_rate(config.get("frontend_conf"), file))


def checked(file: str, espnet: Sequence[str] = (), of_text: bool = False) -> dict[str, Any]:
    """A student's configuration; arguments and UserError as `student_input`, which need not read source tokens.

    Args:
        file, espnet: as `student_input` takes them.
        of_text: whether the student reads source text.
    """
    config = read_yaml(file)
    if config.get("frontend") not in (None, "none") and config.get("input_size") is not None:
        raise UserError(f"{file}: has a frontend, which takes audio, and input_size, which is of features")
    set_by_us.refuse(config, file, espnet)
    if "stats_file" in (config.get("normalize_conf") or {}):
        raise UserError(
            f"{file}: normalize_conf has a stats_file, but the statistics are those of the training set; remove it"
        )
    front_end = config.get("frontend")
    if of_text and front_end not in (None, *FRONTENDS):
        raise UserError(f"{file}: frontend is {front_end}, and source text takes one of {', '.join(FRONTENDS)}")
    if front_end in FRONTENDS and not of_text:
        raise UserError(f"{file}: frontend {front_end} reads source text; name its token directory (--src_tokens)")
    if front_end in (None, "none") and config.get("frontend_conf"):
        raise UserError(f"{file}: has frontend_conf, but no frontend; add `frontend: default`, or remove it")
    return config


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
    if is_mt(config):
        return Input(source=tuple(config["src_token_list"]))
    if config["input_size"] is not None:
        return Input()
    return Input(sampling_rate(config.get("frontend_conf"), f"{directory}/config.yaml"))
