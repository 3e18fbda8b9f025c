"""Results of Whisper and its kin (openai-whisper, faster-whisper, whisperX): JSON with segments of text.

A result is {"segments": [{"text": ..., "avg_logprob": ..., "tokens": [...]}, ...]}, a list of such segments, or
{"text": ..., "avg_logprob": ...} alone. Its segments are joined. The score is their avg_logprob, the mean log
probability a token, each segment's counted by its tokens (by its words, where the file has no tokens).

Several results of an utterance are its N-best list, ordered by score where all have one: in a list, under "hypotheses",
in several lines of a file .jsonl, or in several files (of runs with other settings).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import columns, read_lines
from kdasr.outside.heard import MEAN, Found, Heard, Lists, best_first, number
from kdasr.outside.texts import json_lines


def read_whisper(paths: Sequence[str], utterance_of: Callable[[str], str]) -> Found:
    """The hypotheses of each utterance, as many as there are results of it.

    Args:
        paths: JSON files, each a result named as the file or {NAME: result, ...}; files .jsonl, a result with its
            "id" a line; or directories of JSON files.
        utterance_of: gives the utterance of a result's name (an utterance, or its audio file's name).

    Raises:
        UserError: a file that holds no result.
    """
    lists: Lists = {}
    for path in paths:
        files = sorted(Path(path).glob("*.json")) if Path(path).is_dir() else [Path(path)]
        if not files:
            raise UserError(f"{path}: holds no *.json; name the directory that Whisper wrote to")
        for file in files:
            for where, name, result in _results(file):
                hyps = [heard(one, f"{where}: {name}") for one in _alternatives(result)]
                lists.setdefault(utterance_of(name), []).extend(hyps)
    for hyps in lists.values():
        best_first(hyps)
    return Found(lists, MEAN)


def _results(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Each result of a file: where it is, its name, and what it is."""
    if path.suffix == ".jsonl":
        for where, value in json_lines(str(path)):
            if not isinstance(value.get("id"), str):
                raise UserError(f'{where}: has no "id"; expected {{"id": UTTERANCE, "segments": [...]}}')
            yield where, value["id"], value
        return
    try:
        value = json.loads("\n".join(read_lines(path)))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}:{getattr(error, 'lineno', 1)}: is not JSON; copy the file again") from None
    if isinstance(value, dict) and not {"hypotheses", "segments", "text"} & value.keys():
        for name, result in value.items():
            yield str(path), name, result
    else:
        yield str(path), path.stem, value


def _alternatives(result: Any) -> list[Any]:
    """The results of a result: several, or itself."""
    several = result.get("hypotheses") if isinstance(result, dict) else result
    if not isinstance(several, list) or not several:
        return [result]
    if isinstance(result, list) and not all(isinstance(one, dict) and "segments" in one for one in several):
        return [result]  # segments of one
    return several


def heard(result: Any, where: str) -> Heard:
    """The hypothesis of a result; UserError that begins with `where` if it is none."""
    segments = result.get("segments") if isinstance(result, dict) else result
    if segments is None and isinstance(result, dict) and isinstance(result.get("text"), str):
        score = None if result.get("avg_logprob") is None else number(result["avg_logprob"], where)
        return Heard(" ".join(columns(result["text"])), score)
    if not isinstance(segments, list) or not all(
        isinstance(one, dict) and isinstance(one.get("text"), str) for one in segments
    ):
        raise UserError(f'{where} has no segments with a "text" each; expected what Whisper writes as JSON')
    text = " ".join(word for one in segments for word in columns(one["text"]))
    if not any("avg_logprob" in one for one in segments):
        return Heard(text)
    scores = [number(one.get("avg_logprob"), where) for one in segments]
    counts = _counts(segments)
    return Heard(text, sum(score * count for score, count in zip(scores, counts, strict=True)) / sum(counts))


def _counts(segments: Sequence[Mapping[str, Any]]) -> list[int]:
    """How much each segment's mean counts: its tokens, or its words, and one for its end."""
    tokens = [one.get("tokens") for one in segments]
    if all(isinstance(one, list) for one in tokens):
        return [len(one) + 1 for one in tokens if one is not None]
    return [len(columns(one["text"])) + 1 for one in segments]
