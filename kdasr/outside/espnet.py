"""ESPnet's N-best lists: directories 1best_recog, 2best_recog, ... with the tables text, token and score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kdasr.data.tokens import SOS_EOS, Tokens
from kdasr.errors import UserError
from kdasr.files import BLANKS, columns, read_table
from kdasr.outside.heard import Found, Heard, fitting, number

PLACE = re.compile(r"([0-9]{1,4})best_recog")
TENSOR = re.compile(r"tensor\(([^,)]+)[^)]*\)")  # ESPnet writes a score as str(tensor)


def read_espnet(directories: Sequence[str], tokens: Tokens) -> Found:
    """The lists of decoding directories, of all jobs below them (logdir/output.J/1best_recog, ...).

    A directory without any `Nbest_recog` below is one of 1-bests itself (what asr.sh makes of all jobs). The ids
    that the tables name are kept where they spell the text in our list, so that sentencepieces stay as they were cut.

    Raises:
        UserError: no such directory, an utterance in two jobs, or tables that do not fit together.
    """
    placed: dict[str, dict[int, Heard]] = {}
    for name in directories:
        parts = [(int(match[1]), path) for path in _below(name) if (match := PLACE.fullmatch(path.name))]
        if not parts and (Path(name) / "text").is_file():
            parts = [(1, Path(name))]
        if not parts:
            raise UserError(f"{name}: has no 1best_recog with a text below it; name ESPnet's decoding directory")
        for place, part in parts:
            for key, heard in _read_part(part, tokens).items():
                if place in placed.setdefault(key, {}):
                    raise UserError(f"{part}: {key} is in another directory of {place}-bests, too; remove one of them")
                placed[key][place] = heard
    return Found({key: [hyps[place] for place in sorted(hyps)] for key, hyps in placed.items()})


def _below(name: str) -> list[Path]:
    return sorted(path.parent for path in Path(name).glob("**/*best_recog/text"))


def _read_part(directory: Path, tokens: Tokens) -> dict[str, Heard]:
    texts = read_table(directory / "text", empty=True)
    tables = {
        name: read_table(directory / name, empty=True) if (directory / name).is_file() else {}
        for name in ("token", "score")
    }
    found = {}
    for key, text in texts.items():
        for name, table in tables.items():
            if table and key not in table:
                raise UserError(f"{directory / name}: lacks {key}, which text has; copy the directory again")
        score = None
        if tables["score"]:
            value = tables["score"][key]
            match = TENSOR.fullmatch(value)
            score = number(match[1] if match else value, f"{directory / 'score'}: {key}")
        # ESPnet spells the end of a hypothesis that it cut off at the limit of length
        text = text.replace(SOS_EOS, "").rstrip(BLANKS)
        names = [name for name in columns(tables["token"].get(key, "")) if name != SOS_EOS]
        ids = [tokens.ids[name] for name in names] if names and tokens.ids.keys() >= set(names) else []
        found[key] = Heard(text, score, tokens=fitting(ids, text, tokens) if ids else None)
    return found
