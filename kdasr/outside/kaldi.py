"""Kaldi's N-best lists: texts and scores, or costs, by UTTERANCE-n.

A directory is one of three:

| files | from |
|---|---|
| export.json, text, tokens, score, score_NAME | `kdasr nbest export` |
| text; score and score_NAME, if there are any; or ac_cost and lm_cost | scripts of your own, `nbest-to-linear` |
| words_text, acwt, lmwt.* (of each job in archives.J) | `lmrescore_nbest.sh` (kdasr.lm.kaldi_nbest) |

Scores are natural logarithms, larger is better; costs are their negatives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kdasr.data.tokens import Tokens
from kdasr.errors import UserError
from kdasr.files import read_json, read_table
from kdasr.lm.kaldi_nbest import read_kaldi, total_costs
from kdasr.lm.weights import Lists as Costs
from kdasr.nbest.export import read_export
from kdasr.outside.heard import NONE, SUM, Found, Heard, Lists, add, fitting, number, ranked


def read_directories(names: Sequence[str], tokens: Tokens, acoustic_scale: float | None) -> Found:
    """The lists of directories; UserError that names file and hypothesis where one is malformed.

    Args:
        names: the directories.
        tokens: our list; the ids of an export are kept where they spell the text in it.
        acoustic_scale: of costs; None: that by which the lists are ordered, or else 1/12.
    """
    lists: Lists = {}
    kinds, said = set(), []
    for name in names:
        directory = Path(name)
        if (directory / "export.json").is_file():
            found = _exported(directory, tokens)
        elif (directory / "text").is_file():
            found = _tables(directory, acoustic_scale)
        elif any(directory.glob("words*")) or any(directory.glob("archives.*")):
            found = _rescored(directory, acoustic_scale)
        else:
            raise UserError(
                f"{name}: is no directory with text, words_text or export.json; name one of Kaldi's N-best lists"
            )
        add(lists, found.lists, name)
        kinds.add(found.score_kind)
        said += [found.said] if found.said else []
    if len(kinds) > 1:
        raise UserError(f"{' '.join(names)}: have scores of different kinds; import each into an archive of its own")
    return Found(lists, *kinds, said="\n".join(said))


def _exported(directory: Path, tokens: Tokens) -> Found:
    archive = read_json(directory / "export.json").get("archive")
    kind = str(archive.get("scores", SUM)) if isinstance(archive, dict) else SUM
    lists = {
        utterance: [
            Heard(
                hyp["text"],
                None if kind == NONE else hyp["score"],
                hyp["scores"],
                fitting(hyp["tokens"], hyp["text"], tokens),
            )
            for hyp in hyps
        ]
        for utterance, hyps in read_export(directory).items()
    }
    return Found(lists, kind)


def _tables(directory: Path, acoustic_scale: float | None) -> Found:
    texts = read_table(directory / "text", empty=True)
    keys = ranked(list(texts), directory / "text")
    costs = [_numbers(directory / name, texts) for name in ("ac_cost", "lm_cost") if (directory / name).is_file()]
    if costs and (len(costs) == 1 or (directory / "score").is_file()):
        raise UserError(f"{directory}: expected ac_cost and lm_cost together, and no score beside them; remove one")
    if costs:
        return _costs(directory, texts, keys, *costs, acoustic_scale)
    if not (directory / "score").is_file():
        return Found({one: [Heard(texts[key]) for key in names] for one, names in keys.items()}, NONE)
    parts = {path.name[6:]: _numbers(path, texts, part=True) for path in sorted(directory.glob("score_*"))}
    scores = _numbers(directory / "score", texts)

    def heard(key: str) -> Heard:
        return Heard(texts[key], scores[key], {name: table[key] for name, table in parts.items() if key in table})

    return Found({one: [heard(key) for key in names] for one, names in keys.items()})


def _costs(
    directory: Path,
    texts: Mapping[str, str],
    keys: Mapping[str, list[str]],
    acoustic: Mapping[str, float],
    graph: Mapping[str, float],
    scale: float | None,
) -> Found:
    """Lists of acoustic costs, and of costs of the graph with its language model."""
    order = [key for names in keys.values() for key in names]
    lists = Costs(list(keys), np.array([len(names) for names in keys.values()]), [texts[key] for key in order])
    first, second = (np.array([costs[key] for key in order]) for costs in (acoustic, graph))  # (R,) both
    total, scale, how = total_costs(first, second, lists, scale)
    scores = dict(zip(order, (-total).tolist(), strict=True))
    found = {
        one: [Heard(texts[key], scores[key], {"ac": -acoustic[key], "lm": -graph[key]}) for key in names]
        for one, names in keys.items()
    }
    return Found(found, said=f"{directory}: acoustic scale {scale:.5g}: {how}")


def _rescored(directory: Path, acoustic_scale: float | None) -> Found:
    costs, scale, how = read_kaldi(directory, acoustic_scale)
    lists: Lists = {}
    for utterance, start, size in zip(costs.ids, costs.starts, costs.sizes, strict=True):
        lists[utterance] = [
            Heard(
                costs.texts[row],
                float(costs.scores["score"][row]),
                {name: float(values[row]) for name, values in costs.scores.items() if name != "score"},
            )
            for row in range(start, start + size)
        ]
    return Found(lists, said=f"{directory}: acoustic scale {scale:.5g}: {how}")


def _numbers(path: Path, texts: Mapping[str, str], part: bool = False) -> dict[str, float]:
    """A table of numbers by the keys of `texts`; of a `part` of the scores some may be missing."""
    table = read_table(path)
    wrong = (texts.keys() - table.keys() if not part else set()) | (table.keys() - texts.keys())
    if wrong:
        raise UserError(f"{path}: {min(wrong)} is not in both this file and text; copy the directory again")
    return {key: number(value, f"{path}: {key}") for key, value in table.items()}
