"""What an `exp` directory holds, read into small records for the report. Whatever a stage has not written is None."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.report import shape
from kdasr.report.shape import AMOUNT, COUNT, NUMBER, TEXT, WHOLE, Must
from kdasr.score.kaldi import read_counts, read_utterances

CHECKPOINT = "valid.acc.ave.pth"
MODEL = {  # kdasr.json, as far as reports read it
    **dict.fromkeys(("label", "role", "teacher", "command"), TEXT),
    **dict.fromkeys(("parameters", "non_zero"), COUNT),
    **dict.fromkeys(("train_seconds", "cpu_seconds"), AMOUNT),
    "seed": WHOLE,
}
DECODED = {  # decode.json
    **dict.fromkeys(("device", "model", "command"), TEXT),
    **dict.fromkeys(("audio_seconds", "cpu_seconds", "wall_seconds"), AMOUNT),
    "mode_probability": NUMBER,
}
COUNTED = "sentences", "wrong_sentences", "words", "cor", "sub", "del", "ins", "errors"
SCORE = {  # score.json
    **dict.fromkeys(("signature", "command"), TEXT),
    **dict.fromkeys(("wer", "cer", "jiwer"), AMOUNT),
    "interval95": (NUMBER, NUMBER),
    "counts": dict.fromkeys(COUNTED, Must(COUNT)),
}
PERPLEXITY = {"ppl": AMOUNT}  # ppl/SET.json


@dataclass(frozen=True)
class Scored:
    """One set, decoded with one tag."""

    tag: str
    set: str
    decode: dict[str, Any]  # decode.json
    wer: dict[str, Any]  # score_wer/score.json
    cer: dict[str, Any]
    utterances: dict[str, tuple[int, int]]  # words scored: utterance -> (errors, reference words)
    path: Path | None = None  # the directory; None where a file of figures is all there is

    @property
    def on_gpu(self) -> bool:
        """Whether it was decoded on a GPU; decode.json says so, or else it was not."""
        return str(self.decode.get("device", "cpu")).startswith("cuda")


@dataclass(frozen=True)
class System:
    """One model directory."""

    name: str
    info: dict[str, Any]  # kdasr.json
    bytes: int | None  # of the averaged checkpoint
    scored: dict[tuple[str, str], Scored] = field(default_factory=dict)  # by (tag, set)
    ppl: dict[str, dict[str, Any]] = field(default_factory=dict)  # ppl/SET.json, by set
    path: Path | None = None  # the directory; None where a file of figures is all there is

    @property
    def label(self) -> str:
        """What the model is, in words; its directory's name if it does not say."""
        return str(self.info.get("label") or self.name)

    @property
    def seed(self) -> str:
        """Its seed as it is shown, a dash if it does not say."""
        seed = self.info.get("seed")
        return "-" if seed is None else str(seed)

    @property
    def network(self) -> str:
        """What utils/kd_train.sh calls its network, if not the recipe's usual one: long of "long: Word-KD"."""
        name, named, _ = self.label.partition(": ")
        return name if named else ""

    @property
    def is_teacher(self) -> bool:
        """Whether it is a teacher."""
        return self.info.get("role") == "teacher"


def systems(exp: str | Path) -> list[System]:
    """The models of `exp`: teachers, then of each network the student on references and the others by label and seed.

    Raises:
        UserError: no such directory, or no model in it.
    """
    if not Path(exp).is_dir():
        raise UserError(f"{exp}: no such directory; run the stages teacher, student, decode and score first")
    found = [_system(path.parent) for path in sorted(Path(exp).glob("*/kdasr.json"))]
    if not found:
        raise UserError(f"{exp}: no model here (*/kdasr.json); run the stages teacher, student, decode and score first")
    return in_order(found)


def in_order(found: list[System]) -> list[System]:
    """Teachers, then of each network the student on references and the others by label and seed."""

    def place(one: System) -> tuple[Any, ...]:
        return not one.is_teacher, one.network, not on_references(one), one.label, *_seed(one), one.name

    return sorted(found, key=place)


def on_references(system: System) -> bool:
    """Whether this is the student that others are compared with: whole, on references, and on nothing else."""
    return not system.is_teacher and learned_references(system) and "non_zero" not in system.info


def learned_references(system: System) -> bool:
    """Whether it learned from references alone; it may have been the teacher itself, pruned."""
    return system.label.endswith("references")


def teacher_of(system: System, every: list[System]) -> System | None:
    """The teacher that a student names, or else the first one; a teacher is its own."""
    if system.is_teacher:
        return system
    teachers = [one for one in every if one.is_teacher]
    named = [one for one in teachers if one.name == system.info.get("teacher")]
    return (named or teachers or [None])[0]


def real_time_factor(system: System, tag: str, on_gpu: bool = False, name: str | None = None) -> float | None:
    """Seconds that decoding takes for a second of audio: CPU seconds, or seconds by the clock of what a GPU decoded.

    Args:
        system: whose.
        tag: of the search.
        on_gpu: which of the two.
        name: a set; over all sets by default.
    """
    runs = [
        one.decode
        for (found, where), one in system.scored.items()
        if found == tag and one.on_gpu == on_gpu and name in (None, where)
    ]
    spent = "wall_seconds" if on_gpu else "cpu_seconds"
    runs = [one for one in runs if one.get(spent) is not None and one.get("audio_seconds")]
    return sum(one[spent] for one in runs) / sum(one["audio_seconds"] for one in runs) if runs else None


def tags(every: list[System]) -> list[str]:
    """Decode tags, greedy first."""
    return sorted({tag for one in every for tag, _ in one.scored}, key=lambda tag: (tag != "greedy", tag))


def sets(every: list[System]) -> list[str]:
    """Names of decoded sets."""
    return sorted({name for one in every for _, name in one.scored})


def sets_of_modes(every: list[System]) -> list[str]:
    """Names of sets that were decoded, or that perplexity was computed on."""
    return sorted({*sets(every), *(name for one in every for name in one.ppl)})


def _system(directory: Path) -> System:
    checkpoint = directory / CHECKPOINT
    scored = {}
    for path in sorted(directory.glob("decode_*/*")):
        if not path.is_dir() or path.name.startswith(".") or not _has_results(path):
            continue
        tag = path.parent.name.removeprefix("decode_")
        scored[tag, path.name] = Scored(
            tag,
            path.name,
            _json(path / "decode.json", DECODED),
            _json(path / "score_wer/score.json", SCORE),
            _json(path / "score_cer/score.json", SCORE),
            _utterances(path / "score_wer"),
            path,
        )
    size = checkpoint.stat().st_size if checkpoint.exists() else None  # of the file behind the link
    ppl = {path.stem: shape.read(path, PERPLEXITY) for path in sorted(directory.glob("ppl/*.json"))}
    return System(directory.name, shape.read(directory / "kdasr.json", MODEL), size, scored, ppl, directory)


def _has_results(path: Path) -> bool:
    return any((path / name).exists() for name in ("decode.json", "score_wer/score.json", "score_cer/score.json"))


def _seed(system: System) -> tuple[bool, int]:
    seed = system.info.get("seed")
    return seed is None, int(seed or 0)


def _json(path: Path, expected: dict[str, Any]) -> dict[str, Any]:
    return shape.read(path, expected) if path.exists() else {}


def _utterances(directory: Path) -> dict[str, tuple[int, int]]:
    """Errors and words of each utterance, from the `#csid` lines; nothing unless the score is complete."""
    path = directory / "per_utt"
    if not path.exists() or not (directory / "score.json").exists():
        return {}
    found = {}
    for where, name, rows in read_utterances(path):
        cor, sub, ins, del_ = read_counts(where, name, rows)
        found[name] = sub + ins + del_, cor + sub + del_
    return found
