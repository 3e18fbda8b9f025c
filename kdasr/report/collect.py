"""What an `exp` directory holds, read into small records for the report. Whatever a stage has not written is None."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdasr import shape
from kdasr.errors import UserError
from kdasr.score import bleu
from kdasr.score.bleu_samples import statistics
from kdasr.score.kaldi import read_counts, read_utterances
from kdasr.score.measures import BLEU, WER, Measure, Statistics
from kdasr.shape import AMOUNT, COUNT, FLAG, NUMBER, TEXT, WHOLE, Must

CHECKPOINT = "valid.acc.ave.pth"
MODEL = {  # kdasr.json, as far as reports read it
    **dict.fromkeys(("label", "role", "teacher", "command"), TEXT),
    **dict.fromkeys(("recipe", "learned_from", "network", "teacher_model"), TEXT),
    **dict.fromkeys(("baseline", "oracle", "soft_targets"), FLAG),
    "marks": [TEXT],
    **dict.fromkeys(("parameters", "non_zero", "updates"), COUNT),
    **dict.fromkeys(("train_seconds", "cpu_seconds"), AMOUNT),
    "seed": WHOLE,
}
DECODED = {  # decode.json
    **dict.fromkeys(("device", "model", "command"), TEXT),
    **dict.fromkeys(("audio_seconds", "source_tokens", "cpu_seconds", "wall_seconds"), AMOUNT),
    "mode_probability": NUMBER,
}
COUNTED = "sentences", "wrong_sentences", "words", "cor", "sub", "del", "ins", "errors"
SCORE = {  # score.json
    **dict.fromkeys(("signature", "command"), TEXT),
    **dict.fromkeys(("wer", "cer", "jiwer"), AMOUNT),
    "interval95": (NUMBER, NUMBER),
    "counts": dict.fromkeys(COUNTED, Must(COUNT)),
}
TRANSLATED = "sentences", "sys_len", "ref_len"
BLEU_SCORE = {  # score_bleu/score.json
    **dict.fromkeys(("signature", "command"), TEXT),
    **dict.fromkeys(("bleu", "chrf", "ter", "brevity_penalty"), Must(AMOUNT)),
    "precisions": Must((AMOUNT, AMOUNT, AMOUNT, AMOUNT)),
    "interval95": (NUMBER, NUMBER),
    "counts": Must(dict.fromkeys(TRANSLATED, Must(COUNT))),
}
PERPLEXITY = {"ppl": AMOUNT}  # ppl/SET.json
LABELS = ("references", "all_references")  # what a student learned from, where people have written it
Kind = tuple[str, ...]


@dataclass(frozen=True)
class Scored:
    """One set, decoded with one tag."""

    tag: str
    set: str
    decode: dict[str, Any]  # decode.json
    wer: dict[str, Any]  # score_wer/score.json
    cer: dict[str, Any]
    utterances: dict[str, Statistics]  # of the measure: utterance -> (errors, reference words), or those of BLEU
    path: Path | None = None  # the directory; None where a file of figures is all there is
    bleu: dict[str, Any] = field(default_factory=dict)  # score_bleu/score.json

    @property
    def measure(self) -> Measure:
        """What reports compare it by: BLEU where it was computed."""
        return BLEU if self.bleu else WER

    @property
    def score(self) -> dict[str, Any]:
        """The score.json of that; empty if it was not scored."""
        return self.bleu or self.wer

    @property
    def rate(self) -> float | None:
        """The score of the set."""
        return self.score.get(self.measure.key)

    @property
    def words(self) -> int:
        """Reference words of the set, as the score counts them; 0 where that is not known."""
        counts = self.score.get("counts") or {}
        return counts.get("words") or counts.get("ref_len") or 0

    @property
    def scores(self) -> tuple[dict[str, Any], ...]:
        """Every score.json, which may be empty."""
        return self.wer, self.cer, self.bleu

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
    def model(self) -> str:
        """The hash of its weights, which its decodings recorded; empty if it was not decoded."""
        return next((one.decode["model"] for one in self.scored.values() if one.decode.get("model")), "")

    @property
    def network(self) -> str:
        """What tables call its network, if that is not the recipe's usual one."""
        return str(self.info.get("network") or "")

    @property
    def recipe(self) -> str:
        """Its student recipe, or what a teacher is for."""
        return str(self.info.get("recipe") or "")

    @property
    def has_facts(self) -> bool:
        """Whether its record says what it is; records of older versions have nothing but a label."""
        return "recipe" in self.info and (self.is_teacher or "learned_from" in self.info)

    @property
    def kind(self) -> Kind:
        """What it is a run of: models of one kind differ in seed, machine or teacher. Without facts it stands alone."""
        if not self.has_facts:
            return "no facts", self.name
        return str(self.info.get("role")), self.network, self.recipe

    @property
    def is_teacher(self) -> bool:
        """Whether it is a teacher."""
        return self.info.get("role") == "teacher"


def systems(exp: str | Path) -> list[System]:
    """The models of `exp`, as `in_order` has them.

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
    """Teachers, then of each network the baseline and the others by recipe and seed; at last those without facts."""

    def place(one: System) -> tuple[Any, ...]:
        kind = one.kind
        return not one.is_teacher, not one.has_facts, one.network, not is_baseline(one), *kind, *_seed(one), one.name

    return sorted(found, key=place)


def is_baseline(system: System) -> bool:
    """Whether this is a student that others are compared with: its record says so, and it was not pruned."""
    return system.has_facts and not system.is_teacher and bool(system.info.get("baseline")) and not is_pruned(system)


def is_pruned(system: System) -> bool:
    """Whether some of its weights are held at zero."""
    return "non_zero" in system.info


def learned_references(system: System) -> bool:
    """Whether it learned from what people wrote alone; it may have been the teacher itself, pruned."""
    return system.info.get("learned_from") in LABELS and not system.info.get("soft_targets")


def groups(every: list[System]) -> dict[Kind, list[System]]:
    """Systems by kind, in their order."""
    found: dict[Kind, list[System]] = {}
    for one in every:
        found.setdefault(one.kind, []).append(one)
    return found


def label_of(members: list[System]) -> str:
    """What tables call systems of one kind: the label of the first that is at hand, else that of the first."""
    one = next((one for one in members if one.path), members[0])
    return one.label if one.has_facts or one.label == one.name else f"{one.label} ({one.name})"


def teacher_of(system: System, every: list[System]) -> System | None:
    """The teacher of a student, by the hash of its weights, or else by its name, or else the first; a teacher's own."""
    if system.is_teacher:
        return system
    teachers = [one for one in every if one.is_teacher]
    same = [one for one in teachers if one.model and one.model == system.info.get("teacher_model")]
    named = [one for one in teachers if one.name == system.info.get("teacher")]
    return (same or named or teachers or [None])[0]


def remarks(every: list[System]) -> list[str]:
    """What a reader should know of these records: which lack facts, and how those of others came about."""
    said = []
    if bare := [one.name for one in every if not one.is_teacher and not one.has_facts]:
        said.append(
            f"Without facts, so that each stands alone and none is a baseline: {', '.join(bare)} (kdasr.json does not "
            "say recipe and learned_from; kdasr train writes them)."
        )
    marked: dict[str, int] = {}
    for one in every:
        for mark in one.info.get("marks", ()):
            marked[mark] = marked.get(mark, 0) + 1
    if marked:
        said.append("Marks: " + "; ".join(f"{mark} ({count} of {len(every)})" for mark, count in marked.items()) + ".")
    return said


def measure_of(every: Sequence[System]) -> Measure:
    """What the systems are scored in, WER where none is.

    Raises:
        UserError: some are scored in WER, others in BLEU.
    """
    found = {one.measure.key: (system, one) for system in every for one in system.scored.values() if one.score}
    if len(found) > 1:
        names = "; ".join(f"{one.measure.name}: {system.name}, {one.set} {one.tag}" for system, one in found.values())
        raise UserError(f"scores of two kinds, which cannot stand in one report ({names}); score all sets in one")
    return next((one.measure for _, one in found.values()), WER)


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
            _sentences(path / BLEU.directory) or _utterances(path / WER.directory),
            path,
            _json(path / BLEU.directory / "score.json", BLEU_SCORE),
        )
    size = checkpoint.stat().st_size if checkpoint.exists() else None  # of the file behind the link
    ppl = {path.stem: shape.read(path, PERPLEXITY) for path in sorted(directory.glob("ppl/*.json"))}
    return System(directory.name, shape.read(directory / "kdasr.json", MODEL), size, scored, ppl, directory)


def _has_results(path: Path) -> bool:
    scores = "score_wer/score.json", "score_cer/score.json", "score_bleu/score.json"
    return any((path / name).exists() for name in ("decode.json", *scores))


def _seed(system: System) -> tuple[bool, int]:
    seed = system.info.get("seed")
    return seed is None, int(seed or 0)


def _json(path: Path, expected: dict[str, Any]) -> dict[str, Any]:
    return shape.read(path, expected) if path.exists() else {}


def _sentences(directory: Path) -> dict[str, Statistics]:
    """What each sentence adds to BLEU; nothing unless the score is complete."""
    if not (directory / "score.json").exists():
        return {}
    return {name: statistics(row) for name, row in bleu.read_rows(directory / bleu.SENTENCES).items()}


def _utterances(directory: Path) -> dict[str, Statistics]:
    """Errors and words of each utterance, from the `#csid` lines; nothing unless the score is complete."""
    path = directory / "per_utt"
    if not path.exists() or not (directory / "score.json").exists():
        return {}
    found: dict[str, Statistics] = {}
    for where, name, rows in read_utterances(path):
        cor, sub, ins, del_ = read_counts(where, name, rows)
        found[name] = sub + ins + del_, cor + sub + del_
    return found
