"""N-best lists as Kaldi's scripts/rnnlm/lmrescore_nbest.sh and steps/lmrescore_nbest.sh leave them.

A directory `archives.N` of each job (or one directory) holds parallel text archives, a line a hypothesis, keyed
`UTTERANCE-n`, n from 1:

| file | |
|---|---|
| words_text (or words, if it holds words) | the text |
| acwt | acoustic cost |
| lmwt.nolm | cost of the graph without the language model: pronunciations, transitions |
| lmwt.lmonly, lmwt.withlm | cost of the first pass's language model, and both together |
| lmwt.* | costs of other language models |

Costs are negative natural logarithms; the scores read are their negatives. `score` is the first pass's own:
-(a acwt + lmwt.withlm). The files do not hold its acoustic scale a: it is found from the order of the lists,
if there is one that gives this order.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from kdasr.errors import UserError
from kdasr.files import read_lines
from kdasr.lm.weights import Lists
from kdasr.score.trn import split

REMEDY = "run Kaldi's lmrescore_nbest.sh again, or copy the directory again"
SCALES = [1 / k for k in (*range(12, 0, -1), *range(13, 31))]  # acoustic scales that people use; Kaldi's own first
NUMBER = re.compile(r"[0-9]{1,9}")  # of a hypothesis, a part, or of parts
DIGITS = 1e-5  # of its value, how far a cost may be off: awk prints lmwt.lmonly with six digits


def score_files(directory: str | Path) -> list[tuple[Path, list[Path]]]:
    """The file of texts and those of scores, of each part in order.

    Raises:
        UserError: there are none, or a part or a file of one is missing.
    """
    directory = Path(directory)
    numbered = {}
    for path in directory.glob("*") if directory.is_dir() else ():
        number = path.name.removeprefix("archives.")
        if NUMBER.fullmatch(number) and path.is_dir():
            numbered[int(number)] = path
    parts = [directory]
    if numbered and _texts(directory) is None:
        jobs = directory / "num_jobs"
        parts = split(" ".join(read_lines(jobs))) if jobs.is_file() else []
        count = int(parts[0]) if parts and NUMBER.fullmatch(parts[0]) else max(numbered)
        lacking = next((n for n in range(1, count + 1) if n not in numbered), None)
        if lacking is not None or len(numbered) != count:
            raise UserError(f"{directory}: expected parts 1 to {count}, found {sorted(numbered)}; {REMEDY}")
        parts = [numbered[n] for n in range(1, count + 1)]
    found = []
    for part in parts:
        texts = _texts(part)
        if texts is None:
            raise UserError(
                f"{directory}: neither an N-best archive (manifest.json) nor Kaldi's (words_text, acwt, lmwt.nolm); "
                "name a directory of kdasr nbest, or of Kaldi's lmrescore_nbest.sh"
                if part == directory
                else f"{part}: has no words_text; {REMEDY}"
            )
        scores = [part / "acwt", *sorted(path for path in part.glob("lmwt.*") if path.is_file())]
        names = [path.name for path in scores]
        if not scores[0].is_file() or not {"lmwt.nolm", "lmwt.withlm"} & set(names):
            raise UserError(f"{part}: expected acwt, and lmwt.nolm or lmwt.withlm; {REMEDY}")
        if found and names != [path.name for path in found[0][1]]:
            lacks = set(names) ^ {path.name for path in found[0][1]}
            raise UserError(f"{part}: {sorted(lacks)[0]} is not in both this part and {parts[0]}; {REMEDY}")
        found.append((texts, scores))
    return found


def _texts(part: Path) -> Path | None:
    return next((part / name for name in ("words_text", "words") if (part / name).is_file()), None)


def read_kaldi(directory: str | Path, acoustic_scale: float | None = None) -> tuple[Lists, float, str]:
    """Read the lists.

    Args:
        directory: of the parts, or of the files.
        acoustic_scale: of `score`; None: that by which the lists are ordered, or else 1/12.

    Returns:
        Lists with `score` and one score of each file, the acoustic scale, and how that was found.

    Raises:
        UserError: malformed, by file and line.
    """
    texts: dict[str, list[tuple[int, str]]] = {}
    columns: dict[str, dict[str, float]] = {}
    seen: dict[str, Path] = {}
    for words, scores in score_files(directory):
        keys = _read_texts(words, texts, seen)
        for path in scores:
            columns.setdefault(path.name, {}).update(_read_costs(path, keys, words))
    ids = list(texts)
    for hyps in texts.values():
        hyps.sort(key=lambda pair: pair[0])
    lists = Lists(ids, np.array([len(texts[one]) for one in ids]), [text for one in ids for _, text in texts[one]])
    order = [f"{one}-{n}" for one in ids for n, _ in texts[one]]
    costs = {name: np.array([column[key] for key in order]) for name, column in columns.items()}
    graph = costs.get("lmwt.withlm")
    if graph is None:
        graph = costs["lmwt.nolm"] + costs.get("lmwt.lmonly", 0.0)
    total, acoustic_scale, how = total_costs(costs["acwt"], graph, lists, acoustic_scale)
    lists.scores = {"score": -total} | {name: -column for name, column in costs.items()}
    return lists, acoustic_scale, how


def total_costs(
    acoustic: np.ndarray, graph: np.ndarray, lists: Lists, scale: float | None
) -> tuple[np.ndarray, float, str]:
    """Total costs (R,) of the first pass, the acoustic scale, and how that was found.

    Args:
        acoustic: (R,) costs.
        graph: (R,) costs, of the language model, too.
        lists: whose order it is.
        scale: of the acoustic costs; None: that by which the lists are ordered, or else 1/12.
    """
    how = "given"
    fits = False
    if scale is None:
        ordered = scale_of_order(acoustic, graph, lists)
        fits, how = (
            ordered is not None,
            "that of the lists' order" if ordered else "the lists stand in the order of none",
        )
        scale = ordered or SCALES[0]
    total = scale * acoustic + graph
    if fits:  # what is left are the costs' last digits, which must not change the order
        for start, size in zip(lists.starts, lists.sizes, strict=True):
            np.maximum.accumulate(total[start : start + size], out=total[start : start + size])
    return total, scale, how


def _read_texts(path: Path, texts: dict[str, list[tuple[int, str]]], seen: dict[str, Path]) -> list[str]:
    """Add a part's texts to those of each utterance; its keys."""
    keys: list[str] = []
    numbers = path.name == "words"
    places: set[str] = set()
    for number, line in enumerate(read_lines(path), 1):
        key, *words = split(line) or [""]
        utterance, _, place = key.rpartition("-")
        if not utterance or not NUMBER.fullmatch(place):
            raise UserError(f"{path}:{number}: expected 'UTTERANCE-n WORD...', found {line[:60]!r}; {REMEDY}")
        if seen.setdefault(utterance, path) != path:
            raise UserError(f"{path}:{number}: {utterance} is in {seen[utterance]}, too; {REMEDY}")
        if key in places:
            raise UserError(f"{path}:{number}: {key} is here a second time; remove one of its lines")
        places.add(key)
        keys.append(key)
        numbers = numbers and all(word.isdecimal() for word in words)
        texts.setdefault(utterance, []).append((int(place), " ".join(words)))
    if not keys:
        raise UserError(f"{path}: is empty, expected 'UTTERANCE-n WORD...' lines; {REMEDY}")
    if numbers:
        raise UserError(f"{path}:1: holds numbers; make words_text of it (utils/int2sym.pl -f 2- words.txt)")
    return keys


def _read_costs(path: Path, keys: list[str], words: Path) -> dict[str, float]:
    """The costs of a part's hypotheses by key."""
    costs: dict[str, float] = {}
    for number, line in enumerate(read_lines(path), 1):
        fields = split(line)
        try:
            key, value = fields[0], float(fields[1])
        except (IndexError, ValueError):
            value = float("nan")
        if len(fields) != 2 or not np.isfinite(value):
            raise UserError(f"{path}:{number}: expected 'UTTERANCE-n COST', found {line[:60]!r}; {REMEDY}")
        if key in costs:
            raise UserError(f"{path}:{number}: {key} is here a second time; remove one of its lines")
        costs[key] = value
    for one, other, path_one, path_other in ((keys, costs, path, words), (costs, set(keys), words, path)):
        missing = next(((number, key) for number, key in enumerate(one, 1) if key not in other), None)
        if missing is not None:
            raise UserError(f"{path_one}: lacks {missing[1]}, which is in {path_other}:{missing[0]}; {REMEDY}")
    return costs


def scale_of_order(acoustic: np.ndarray, graph: np.ndarray, lists: Lists) -> float | None:
    """The acoustic scale a for which a * acoustic + graph gives the order of the lists; of several, a usual one.

    Args:
        acoustic: (R,) costs.
        graph: (R,) costs.
        lists: whose order it is.

    Returns:
        The scale, or None if there is none.
    """
    pairs = np.flatnonzero(np.diff(np.repeat(np.arange(len(lists.sizes)), lists.sizes)) == 0)
    size = np.abs(acoustic), np.abs(graph)
    room = DIGITS * (0.1 * (size[0][pairs] + size[0][pairs + 1]) + size[1][pairs] + size[1][pairs + 1])
    rise = graph[pairs + 1] - graph[pairs] + room  # a * fall <= rise
    fall = acoustic[pairs] - acoustic[pairs + 1]
    if (rise[fall == 0] < 0).any():
        return None
    high = (rise[fall > 0] / fall[fall > 0]).min(initial=np.inf)
    low = max(0.0, (rise[fall < 0] / fall[fall < 0]).max(initial=0.0))
    if low > high:
        return None
    return next((scale for scale in SCALES if low <= scale <= high), (low + min(high, 2 * low + 1)) / 2)
