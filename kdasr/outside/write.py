"""Hypotheses of another system -> an N-best archive (kdasr.nbest.archive), as if a search of ours had written it.

The manifest says what is different from a search: "imported" (the form, the files, the normalisation, a hash of all
records) instead of a model, and "scores", which is "sum", "mean" or "none" (kdasr.outside.heard). Hypotheses have
score 0 where there are none. The archive appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from kdasr.data.lengths import FRAMES_PER_SECOND, input_frames
from kdasr.data.normalise import normaliser
from kdasr.data.places import parse_table
from kdasr.data.tokens import Tokens, load_tokens
from kdasr.data.utterances import original_of
from kdasr.errors import UserError
from kdasr.files import atomic_dir, only_writer, read_json, read_table, write_json
from kdasr.nbest import archive
from kdasr.outside import FORMATS
from kdasr.outside.espnet import read_espnet
from kdasr.outside.heard import Found, Heard, Lists
from kdasr.outside.kaldi import read_directories
from kdasr.outside.records import Units, record, scores_of
from kdasr.outside.texts import read_json_lines, read_texts
from kdasr.outside.whisper import read_whisper
from kdasr.shards import digest

SHARD_SIZE = 256  # utterances
NO_COSTS = {"begun": 0.0, "cpu_seconds": 0.0, "wall_seconds": 0.0, "parts": {}}
NO_COSTS |= {"grid_rows": 0, "grid_alive": 0, "peak_bytes": 0}


@dataclass(frozen=True)
class Importing:
    """What is imported, and how."""

    format: str  # one of FORMATS
    sources: tuple[str, ...]  # files or directories
    data: str  # data directory: whose utterances, and how long they are
    tokens: str  # token directory
    out: str  # archive to write
    normalize: tuple[str, ...] = ()  # of kdasr.data.normalise.STEPS, in that order
    max_unknown: float = 1.0  # percent of units that the tokens may not know
    score_kind: str | None = None  # sum or mean; None: that of the format
    acoustic_scale: float | None = None  # of Kaldi's costs; None: that by which the lists are ordered


def run(given: Importing) -> None:
    """Read, normalise, check and write; print what was read and what is unknown.

    Raises:
        UserError: options that do not fit the format, files that are missing or malformed, no utterance of the data
            directory, more unknown units than allowed, or `out` holds something else.
    """
    check(given)
    tokens = load_tokens(given.tokens)
    normalise = normaliser(given.normalize, tokens) if given.normalize else None
    frames = input_frames(given.data)
    found = read(given, tokens, frames)
    kind = scores_of(found, given.score_kind)
    lists = {key: hyps for key in sorted(frames, key=str.encode) if (hyps := heard_of(key, found.lists))}
    sources = " ".join(given.sources)
    if not lists:
        raise UserError(f"{sources}: holds no utterance of {given.data}; name the data directory that was recognised")
    units = Units()
    records = [record(key, frames[key], hyps, tokens, normalise, units) for key, hyps in lists.items()]
    if units.percent > given.max_unknown:
        raise UserError(
            f"{sources}: {units.describe()}; normalise the texts (--normalize), or allow more (--max_unknown "
            f"{math.ceil(units.percent)})"
        )
    made = manifest(given, records, kind)
    out = Path(given.out)
    with only_writer(out.parent, name=f".{out.name}.lock"):
        if is_made(out, made):
            print(f"{out}: made already; to make it again: rm -r {out}")
            return
        refs = Path(given.data) / "text"
        summary = write(out, made, records, read_table(refs) if refs.is_file() else None)
    print(f"{out}: {summary['utterances']} utterances, {summary['hypotheses']} hypotheses, scores: {made['scores']}")
    print("\n".join(f"  {line}" for line in report(given, found, frames, summary, units)))


def check(given: Importing) -> None:
    """UserError for a value out of range, or an option that the format has no use for."""
    if given.format not in FORMATS:
        raise UserError(f"--format {given.format}: expected one of {', '.join(FORMATS)}")
    if not 0 <= given.max_unknown <= 100:
        raise UserError(f"--max_unknown {given.max_unknown}: expected a share of 0 to 100 percent")
    if given.score_kind is not None and given.format == "text":
        raise UserError("--scores: a text has none; leave it out")
    if given.acoustic_scale is not None and (given.format != "kaldi" or not 0 < given.acoustic_scale < math.inf):
        raise UserError(
            f"--acoustic_scale {given.acoustic_scale:g}: expected a number above 0, with --format kaldi alone"
        )


def read(given: Importing, tokens: Tokens, frames: Mapping[str, int]) -> Found:
    """The lists of all sources."""
    if given.format == "kaldi":
        return read_directories(given.sources, tokens, given.acoustic_scale)
    if given.format == "espnet":
        return read_espnet(given.sources, tokens)
    if given.format == "whisper":
        by_audio = utterances_by_audio(Path(given.data))
        return read_whisper(given.sources, lambda name: name if name in frames else by_audio.get(name, name))
    return read_json_lines(given.sources) if given.format == "jsonl" else read_texts(given.sources)


def heard_of(key: str, lists: Lists) -> list[Heard]:
    """The list of an utterance. A copy at another speed, which other systems have not heard, takes the original's."""
    return lists.get(key) or lists.get(original_of(key)) or []


def utterances_by_audio(data: Path) -> dict[str, str]:
    """The utterance of each audio file's name without its ending, where the file is one utterance."""
    if (data / "segments").is_file() or not (data / "wav.scp").is_file():
        return {}
    names = [(Path(place.path).stem, key) for key, place in parse_table(read_table(data / "wav.scp"), data).items()]
    times = Counter(name for name, _ in names)
    return {name: key for name, key in names if times[name] == 1}


def manifest(given: Importing, records: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """What the archive's records depend on."""
    value = hashlib.sha256()
    for one in records:
        value.update(json.dumps(one, sort_keys=True).encode())
    ordered = all(one["score"] >= other["score"] for record in records for one, other in pairwise(record["hyps"]))
    return {
        "imported": {
            "format": given.format,
            "from": list(given.sources),
            "normalize": list(given.normalize),
            "records": value.hexdigest()[:16],
        },
        "scores": kind,
        "tokens": digest(Path(given.tokens) / "tokens.txt"),
        "keys": archive.keys_digest(one["id"] for one in records),
        # lists that are not ordered by score are ordered by score a token, as ours with --normalize_length
        "search": {"nbest": max(len(one["hyps"]) for one in records), "normalize_length": not ordered},
        "utterances": len(records),
        "shards": -(-len(records) // SHARD_SIZE),
        "shard_size": SHARD_SIZE,
    }


def is_made(out: Path, made: Mapping[str, Any]) -> bool:
    """Whether the archive is there already; UserError if something else is."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    there = read_json(out / "manifest.json") if (out / "manifest.json").is_file() else {}
    if there == made and (out / "summary.json").is_file():
        return True
    raise UserError(f"{out}: holds something else, or other hypotheses; remove it, or name another directory")


def write(
    out: Path, made: Mapping[str, Any], records: Sequence[dict[str, Any]], refs: Mapping[str, str] | None
) -> dict[str, Any]:
    """Write the archive, whole or not at all; returns its summary."""
    with atomic_dir(out) as fresh:
        write_json(fresh / "manifest.json", made)
        for shard in range(made["shards"]):
            part = records[shard * SHARD_SIZE : (shard + 1) * SHARD_SIZE]
            seconds = sum(one["frames"] for one in part) / FRAMES_PER_SECOND
            archive.write_shard(fresh, shard, part, {**NO_COSTS, "utterances": len(part), "audio_seconds": seconds})
        return archive.summarise(fresh, refs)


def report(
    given: Importing, found: Found, frames: Mapping[str, int], summary: Mapping[str, Any], units: Units
) -> list[str]:
    """Lines on what was read: unknown units, utterances without hypotheses, hypotheses without an utterance, errors."""
    lines = [found.said] if found.said else []
    lines.append(units.describe())
    if summary["duplicates"]:
        lines.append(f"{summary['duplicates']} hypotheses of the same text as a better one were merged with it")
    for left, what in (
        (
            sorted(key for key in frames if not heard_of(key, found.lists)),
            f"utterances of {given.data} have no hypothesis and were left out",
        ),
        (missing(found.lists, frames), f"utterances are not in {given.data} and were left out"),
        (
            sorted(key for key in frames if key not in found.lists and heard_of(key, found.lists)),
            "utterances are copies at other speeds and took the hypotheses of the original",
        ),
    ):
        if left:
            lines.append(f"{len(left)} {what}, as {left[0]}")
    if "words" in summary:
        wers = summary["words"]["wer"]
        best = f", best of {len(wers)} {wers[-1]:.2f} %" if len(wers) > 1 else ""
        lines.append(f"WER of the 1-best {wers[0]:.2f} %{best}")
    return lines


def missing(keys: Iterable[str], table: Mapping[str, Any]) -> list[str]:
    """The keys that are not in a table."""
    return sorted(key for key in keys if key not in table)
