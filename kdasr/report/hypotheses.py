"""What the N-best looked like, and what became of it: archives and targets of an exp directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr import shape
from kdasr.errors import UserError
from kdasr.files import read_lines, split_key
from kdasr.nbest import archive, run_report
from kdasr.shape import AMOUNT, COUNT, NUMBER, TEXT, Each, Must

MOST = 2000  # utterances on which words are counted; of a larger archive, so many spread evenly
SEARCHED = {"search": Must({"beam": COUNT, "nbest": COUNT})}  # manifest.json, as far as it is read here
SUMMARY = dict.fromkeys(("utterances", "hypotheses", "duplicates", "empty"), COUNT) | {"words": {"wer": Must([AMOUNT])}}
TOLD = {  # targets.json
    "settings": {"select": TEXT},
    "summary": {
        **dict.fromkeys(("utterances", "hypotheses_read", "targets"), COUNT),
        "measured": {"wer_1best": NUMBER, "wer_targets": NUMBER},
        "dropped": Each(COUNT),
        "warning": TEXT,
    },
}


@dataclass(frozen=True)
class Archive:
    """An N-best archive."""

    model: str
    name: str  # of the decoded set
    beam: int
    nbest: int
    summary: dict[str, Any]  # archive.counts and more; empty while it is unfinished
    words: dict[str, Any] | None  # archive.oracle: word errors of the best among k; None without references
    why: str = ""  # there are no words, or they are of a part


@dataclass(frozen=True)
class Targets:
    """A directory of training targets: targets.json's settings and summary."""

    model: str
    name: str
    settings: dict[str, Any]
    summary: dict[str, Any]


def archives(exp: str | Path) -> list[Archive]:
    """The archives below `exp`, by model and name."""
    return [_archive(path.parent, Path(exp)) for path in sorted(Path(exp).glob("*/nbest_*/manifest.json"))]


def targets(exp: str | Path) -> list[Targets]:
    """The targets below `exp`, by model and name."""
    found = []
    for path in sorted(Path(exp).glob("*/targets_*/targets.json")):
        told = shape.read(path, TOLD)
        name = path.parent.name.removeprefix("targets_")
        found.append(Targets(path.parent.parent.name, name, told.get("settings") or {}, told.get("summary") or {}))
    return found


def _archive(directory: Path, exp: Path) -> Archive:
    manifest = archive.read_manifest(directory)
    shape.check(manifest, SEARCHED, directory / "manifest.json")
    name, search = directory.name.removeprefix("nbest_"), manifest["search"]
    known = directory.parent.name, name, int(search.get("beam", 0)), int(search.get("nbest", 0))
    path = directory / "summary.json"
    if not path.is_file():
        return Archive(*known, {}, None, "unfinished")
    summary = shape.read(path, SUMMARY)
    if summary.get("words"):
        return Archive(*known, summary, summary["words"])
    references = find_references(name, exp)
    if references is None:
        return Archive(*known, summary, None, "no references found beside it (dump/*/SET/text)")
    try:
        words, of = oracle(directory, read_references(references), known[3])
    except UserError as error:
        return Archive(*known, summary, None, str(error))
    if words is None:
        return Archive(*known, summary, None, f"{references} lacks its utterances")
    return Archive(*known, summary, words, f"words counted on {words['utterances']:,} of {of:,} utterances")


def find_references(name: str, exp: Path) -> Path | None:
    """The transcripts of an archive's utterances in the recipe's data: dump/*/SET/text, data/SET/text.

    SET is the archive's name or a whole of which it names a part: train_lab0.5 is part of train.
    """
    places = [*exp.resolve().parent.glob("dump/*/*/text"), *exp.resolve().parent.glob("data/*/text")]
    fitting = [path for path in places if f"{name}_".startswith(f"{path.parent.name}_")]
    return max(fitting, key=lambda path: (len(path.parent.name), str(path)), default=None)


def read_references(path: Path) -> dict[str, str]:
    """The lines of a Kaldi text by utterance; one may be without words."""
    return dict(map(split_key, read_lines(path)))


def oracle(directory: Path, references: Mapping[str, str], nbest: int) -> tuple[dict[str, Any] | None, int]:
    """Word errors of the best hypothesis among the first k, k from 1 on, and how many utterances the archive has.

    Returns:
        What `archive.oracle` gives for at most MOST of the utterances that have a reference; None without any.
    """
    pairs = []
    try:
        for record in archive.read_nbest(directory):
            if record["id"] in references:
                pairs.append((references[record["id"]], [str(hyp["text"]) for hyp in record["hyps"]]))
    except (KeyError, TypeError):
        raise UserError(f"{directory}: holds what is no list of hypotheses; run kdasr nbest verify on it") from None
    total = archive.read_manifest(directory)["utterances"]
    if not pairs:
        return None, total
    return archive.oracle([pairs[place] for place in run_report.sample(len(pairs), MOST)], nbest), total
