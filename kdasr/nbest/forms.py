"""The forms that an archive is exported in, besides Kaldi's tables (kdasr.nbest.export).

| form | what is written |
|---|---|
| espnet | directories 1best_recog, 2best_recog, ... each with text, token, token_int and score, as asr_inference does |
| jsonl | a file of lines {"id", "text", "score", "rank"}, best first |
| text | a Kaldi text of the best hypotheses |

`kdasr nbest import` reads each of them again: the same texts in the same order, with the same scores. Kaldi's tables
alone have the scores of parts (decoder, ctc, ...), and a text has none at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdasr.data.tokens import load_tokens
from kdasr.errors import UserError
from kdasr.files import atomic_dir, atomic_write, write_table
from kdasr.nbest.archive import read_manifest, read_nbest
from kdasr.nbest.export import export
from kdasr.shards import digest

FORMS = ("kaldi", "espnet", "jsonl", "text")
Hypothesis = dict[str, Any]  # of an archive's record


def export_as(form: str, nbest: str, out: str | Path, best: int = 0, tokens: str = "") -> None:
    """Export an archive in one of FORMS, and print a line.

    Args:
        form: what to write.
        nbest: the archive.
        out: directory (kaldi, espnet) or file to write; an earlier export there is replaced.
        best: only so many hypotheses of each utterance; 0: all.
        tokens: espnet: the archive's token directory.

    Raises:
        UserError: options that do not fit, or `out` holds something else.
    """
    if best < 0:
        raise UserError(f"--best {best}: expected 0 (all) or more")
    if tokens and form != "espnet":
        raise UserError(f"--tokens: --format {form} has no use for it; leave it out")
    out = Path(out)
    if form == "kaldi":
        export(nbest, out, best)
    elif form == "espnet":
        write_espnet(nbest, out, best, tokens)
    elif form == "jsonl":
        write_json_lines(nbest, out, best)
    else:
        write_text(nbest, out)
    if form in ("espnet", "jsonl"):
        mean = read_manifest(nbest).get("scores") == "mean"
        note = "; scores are means over tokens, so import it with --scores mean" if mean else ""
        print(f"{out}: the N-best lists of {nbest}{note}")
    elif form == "text":
        print(f"{out}: the best hypotheses of {nbest}")


def lists(nbest: str, best: int = 0) -> Iterator[tuple[str, list[Hypothesis]]]:
    """Each utterance with its hypotheses, the best first; at most `best` of them (0: all)."""
    for record in read_nbest(nbest):
        yield record["id"], record["hyps"][: best or None]


def scored(nbest: str) -> bool:
    """Whether the hypotheses of an archive have scores; imported ones may have none."""
    return read_manifest(nbest).get("scores") != "none"


def write_espnet(nbest: str, out: Path, best: int, tokens: str) -> None:
    """ESPnet's directories of N-best lists.

    Args:
        nbest: the archive.
        out: directory to write; one of an earlier export is replaced.
        best: only so many of each utterance; 0: all.
        tokens: the archive's token directory, which spells its ids.

    Raises:
        UserError: no tokens, or others than the archive's; or `out` holds something else.
    """
    if not tokens:
        raise UserError("--format espnet: its table `token` needs the token list; name it (--tokens)")
    known = read_manifest(nbest).get("tokens")
    if known not in (None, digest(Path(tokens) / "tokens.txt")):
        raise UserError(f"{tokens}: is another token list than that of {nbest}; name the one it was made with")
    if out.exists() and (not out.is_dir() or any(not path.name.endswith("best_recog") for path in out.iterdir())):
        raise UserError(f"{out}: holds other things than an export, which would be lost; name another directory")
    spelled = load_tokens(tokens).list
    tables: dict[str, dict[str, str]] = {}
    for key, hyps in lists(nbest, best):
        for n, hyp in enumerate(hyps, 1):
            values = {
                "text": hyp["text"],
                "token": " ".join(spelled[token] for token in hyp["tokens"]),
                "token_int": " ".join(map(str, hyp["tokens"])),
                **({"score": f"tensor({hyp['score']!r})"} if scored(nbest) else {}),
            }
            for name, value in values.items():
                tables.setdefault(f"{n}best_recog/{name}", {})[key] = value
    with atomic_dir(out) as fresh:
        for name, table in tables.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            write_table(fresh / name, table)


def write_json_lines(nbest: str, out: Path, best: int) -> None:
    """JSON lines, a hypothesis each; "rank" keeps their order where it is not that of the scores."""
    has_scores = scored(nbest)
    with atomic_write(out) as file:
        for key, hyps in lists(nbest, best):
            for n, hyp in enumerate(hyps, 1):
                score = {"score": hyp["score"]} if has_scores else {}
                line = {"id": key, "text": hyp["text"], **score, "rank": n}
                file.write(f"{json.dumps(line, ensure_ascii=False)}\n")


def write_text(nbest: str, out: Path) -> None:
    """The best hypotheses as a Kaldi text."""
    write_table(out, {key: hyps[0]["text"] if hyps else "" for key, hyps in lists(nbest, 1)})
