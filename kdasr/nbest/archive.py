"""N-best archives: a directory of shards `nbest.S.jsonl`, one JSON record an utterance, and a manifest.

A record:

    {"id": "011c0201", "frames": 512, "stop": "end detected", "duplicates": 0,
     "hyps": [{"tokens": [5, 9], "text": "at", "score": -1.25,
               "scores": {"decoder": -1.0, "ctc": -1.8}, "ended": "eos"}, ...]}

frames are input frames (10 ms). Hypotheses are ordered, best first; there may be fewer than asked for, as those of the
same text are merged into the best one (`duplicates` counts the others). A score is the search's weighted sum,
`scores` its parts without their weights, natural logarithms of probabilities. `ended` is "eos"; "maxlen" for
a hypothesis cut off at the limit of tokens; "none" (nothing ended) or "too short" (nothing left to decode
after the encoder's subsampling) for the one empty hypothesis that such an utterance has.

`manifest.json` says what made the archive; `stats.S.json` what a shard cost, and a checksum of each of its
lines; `summary.json` is there once all was checked, and holds each shard's hash; `report.json` says what it cost
(kdasr.nbest.run_report). An archive of another system's hypotheses (kdasr.outside.write) has no model in its manifest.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import atomic_write, columns, read_json, write_json
from kdasr.nbest import run_report
from kdasr.score.count import count_errors
from kdasr.shards import digest

ENDED = ("eos", "maxlen", "none", "too short")
STATS = {"begun", "audio_seconds", "cpu_seconds", "wall_seconds", "parts", "grid_rows", "grid_alive", "peak_bytes"}


def shard_path(directory: str | Path, shard: int) -> Path:
    """The file of a shard; shards are numbered from 0."""
    return Path(directory) / f"nbest.{shard}.jsonl"


def keys_digest(keys: Iterable[str]) -> str:
    """Sixteen hex digits that name a list of utterances, order included."""
    value = hashlib.sha256()
    for key in keys:
        value.update(f"{key}\n".encode())
    return value.hexdigest()[:16]


def write_shard(
    directory: str | Path, shard: int, records: Sequence[Mapping[str, Any]], stats: Mapping[str, Any]
) -> None:
    """Write a shard whole or not at all; its stats are written first, so that a shard is never without them."""
    lines = [
        json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n" for record in records
    ]
    write_json(
        Path(directory) / f"stats.{shard}.json", {**stats, "lines": " ".join(checksums("".join(lines).encode()))}
    )
    with atomic_write(shard_path(directory, shard)) as stream:
        stream.writelines(lines)


def checksums(data: bytes) -> list[str]:
    """CRC-32 of each line, in hexadecimal: they find the line that was damaged."""
    return [f"{zlib.crc32(line):08x}" for line in data.splitlines(keepends=True)]


def missing_shards(directory: str | Path, shards: int) -> list[int]:
    """The shards that are not there."""
    return [shard for shard in range(shards) if not shard_path(directory, shard).is_file()]


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """What made the archive: hashes of model, config, token list and utterance list, search options, counts.

    Raises:
        UserError: the directory is no N-best archive.
    """
    path = Path(directory) / "manifest.json"
    if not path.is_file():
        raise UserError(
            f"{directory}: no N-best archive (manifest.json is missing); make one (kdasr nbest --out {directory})"
        )
    manifest = read_json(path)
    utterances, shards, size = (manifest.get(key) for key in ("utterances", "shards", "shard_size"))
    counted = all(isinstance(count, int) and count > 0 for count in (utterances, shards, size))
    if (
        not counted
        or shards != -(-utterances // size)
        or not (
            isinstance(manifest.get("search"), dict)
            and {"nbest", "normalize_length"} <= manifest["search"].keys()
            and isinstance(manifest.get("keys"), str)
        )
    ):
        raise UserError(f"{path}: is not an N-best archive's manifest; remove the directory and run kdasr nbest again")
    return manifest


def read_stats(directory: str | Path, shard: int) -> dict[str, Any]:
    """What a shard cost, and its lines' checksums; UserError if they are not there or not whole."""
    path = Path(directory) / f"stats.{shard}.json"
    stats = read_json(path)
    if not {*STATS, "lines"} <= stats.keys():
        raise UserError(f"{path}: is not whole; remove {shard_path(directory, shard)} and run kdasr nbest again")
    return stats


def read_nbest(directory: str | Path) -> Iterator[dict[str, Any]]:
    """The records of an archive, in the order of its data directory.

    Before the first record is given, all shards are checked: none may be missing, cut short or edited.

    Raises:
        UserError: unfinished, or a shard cut short or changed since (it is named).
    """
    manifest = read_manifest(directory)
    there = sum(1 for _ in Path(directory).glob("nbest.*.jsonl"))
    # a damaged manifest may promise more shards than could be counted: one beyond those that are there is enough
    missing = missing_shards(directory, min(manifest["shards"], there + 1))
    if missing:
        first = shard_path(directory, missing[0])
        raise UserError(
            f"{directory}: {max(len(missing), manifest['shards'] - there)} of {manifest['shards']} shards are missing, "
            f"the first is {first.name}; run kdasr nbest again, which makes these only"
        )
    path = Path(directory) / "summary.json"
    summary = read_json(path) if path.is_file() else {}
    written = summary.get("manifest")  # archives of older versions have none
    if written is not None and digest(Path(directory) / "manifest.json") != written:
        raise UserError(
            f"{directory}/manifest.json: was changed after the archive was checked; copy it again, or remove "
            f"{directory} and run kdasr nbest again"
        )
    for shard in range(manifest["shards"]):
        expected = min(manifest["shard_size"], manifest["utterances"] - shard * manifest["shard_size"])
        _check_lines(directory, shard, expected)
        _check_hash(shard_path(directory, shard), summary.get("shards"), shard)
    return _records(directory, manifest)


def _check_lines(directory: str | Path, shard: int, expected: int) -> None:
    """UserError that names the line where a shard is cut short, or is not what was written."""
    path, stats = shard_path(directory, shard), read_stats(directory, shard)
    data = path.read_bytes()
    found = data.count(b"\n")
    if found != expected or not data.endswith(b"\n"):
        raise UserError(
            f"{path}:{min(found, expected) + 1}: {found} whole records, expected {expected}; "
            "remove the file and run kdasr nbest again"
        )
    for number, (now, written) in enumerate(zip_longest(checksums(data), stats["lines"].split()), 1):
        if now != written:
            raise UserError(
                f"{path}:{number}: was changed after it was written; remove the file and run kdasr nbest again"
            )


def _check_hash(path: Path, hashes: Sequence[str] | None, shard: int) -> None:
    known = isinstance(hashes, list)
    if hashes is not None and (not known or shard >= len(hashes) or digest(path) != hashes[shard]):
        raise UserError(f"{path}: was changed after it was checked; remove it and run kdasr nbest again")


def _records(directory: str | Path, manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    keys = hashlib.sha256()
    search = manifest["search"]
    for shard in range(manifest["shards"]):
        path = shard_path(directory, shard)
        records = []
        with open(path, encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    records.append(json.loads(line))
                    fault = record_fault(records[-1], search["nbest"], not search["normalize_length"])
                except (ValueError, KeyError, TypeError, AttributeError):
                    fault = "its fields are not those of one"
                if fault:
                    raise UserError(
                        f"{path}:{number}: is no N-best record ({fault}); remove the file and run kdasr nbest again"
                    )
        for record in records:
            keys.update(f"{record['id']}\n".encode())
        yield from records
    if keys.hexdigest()[:16] != manifest["keys"]:
        raise UserError(
            f"{directory}: holds other utterances than its manifest says; remove it and run kdasr nbest again"
        )


def record_fault(record: Mapping[str, Any], nbest: int, ordered: bool = True) -> str | None:
    """What is wrong with a record, or None.

    Args:
        record: of an archive.
        nbest: the most hypotheses it may have.
        ordered: whether hypotheses are ordered by score (else by score a token; a record does not hold
            the exact number of tokens, with blanks and the forced end).

    Raises:
        KeyError, TypeError, AttributeError: fields are missing or of other kinds.
    """
    if record.keys() != {"id", "frames", "hyps", "duplicates", "stop"}:
        return "its fields are not those of one"
    if not (isinstance(record["id"], str) and isinstance(record["stop"], str)):
        return "its id or stop is no text"
    if not (_is_count(record["frames"]) and _is_count(record["duplicates"])):
        return "its frames or duplicates are no count"
    hyps = record["hyps"]
    if not 1 <= len(hyps) <= nbest:
        return f"{len(hyps)} hypotheses, expected 1 to {nbest}"
    for k, hyp in enumerate(hyps, 1):
        if hyp.keys() != {"tokens", "text", "score", "scores", "ended"} or hyp["ended"] not in ENDED:
            return f"hypothesis {k} has other fields"
        if not isinstance(hyp["text"], str) or not all(map(_is_count, hyp["tokens"])):
            return f"hypothesis {k} has other tokens than ids"
        if not all(
            isinstance(score, float) and math.isfinite(score) for score in (hyp["score"], *hyp["scores"].values())
        ):
            return f"hypothesis {k} has a score that is no number"
    if ordered and any(one["score"] < other["score"] for one, other in pairwise(hyps)):
        return "its hypotheses are not ordered by score"
    if len({hyp["text"] for hyp in hyps}) < len(hyps):
        return "two of its hypotheses have the same text"
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def counts(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The summary's figures that follow from the records."""
    stops: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    sums = Counter({key: 0 for key in ("hypotheses", "duplicates", "empty", "empty_best", "tokens")})
    for record in records:
        stops[record["stop"]] += 1
        ended.update(hyp["ended"] for hyp in record["hyps"])
        sums["hypotheses"] += len(record["hyps"])
        sums["duplicates"] += record["duplicates"]
        sums["empty"] += sum(not columns(hyp["text"]) for hyp in record["hyps"])
        sums["empty_best"] += not columns(record["hyps"][0]["text"])
        sums["tokens"] += sum(len(hyp["tokens"]) for hyp in record["hyps"])
    return {
        "utterances": sum(stops.values()),
        **sums,
        "ended": dict(sorted(ended.items())),
        "stopped": dict(sorted(stops.items())),
    }


def summarise(directory: str | Path, refs: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Check an archive whole, write report.json, and write and return summary.json, which marks it as finished.

    Args:
        directory: the archive.
        refs: transcripts, if there are any: words of the 1-best and of the best among k are then counted against them.
    """
    (Path(directory) / "summary.json").unlink(missing_ok=True)
    for left in Path(directory).glob(".*.tmp"):
        left.unlink()  # by a run that was killed while it wrote
    manifest = read_manifest(directory)
    pairs: list[tuple[str, list[str]]] = []
    read = 0  # input frames, or source tokens

    def noted() -> Iterator[dict[str, Any]]:
        nonlocal read
        for record in read_nbest(directory):
            read += record["frames"]
            if refs is not None and record["id"] in refs:
                pairs.append((refs[record["id"]], [hyp["text"] for hyp in record["hyps"]]))
            yield record

    summary = counts(noted())
    stats = [read_stats(directory, shard) for shard in range(manifest["shards"])]
    summary["audio_seconds"] = round(sum(one["audio_seconds"] for one in stats), 3)
    if "source" in manifest:  # of a model that translates
        summary["source_tokens"] = read
    if pairs:
        summary["words"] = oracle(pairs, manifest["search"]["nbest"])
    shards = range(manifest["shards"])
    summary["manifest"] = digest(Path(directory) / "manifest.json")
    summary["shards"] = [digest(shard_path(directory, shard)) for shard in shards]
    write_json(Path(directory) / run_report.FILE, run_report.costs(stats, summary))
    write_json(Path(directory) / "summary.json", summary)
    return summary


def oracle(pairs: Sequence[tuple[str, list[str]]], nbest: int) -> dict[str, Any]:
    """Word errors of the hypothesis with fewest among the first k, for k = 1 (the 1-best) to N, as sclite counts.

    Args:
        pairs: transcript and hypotheses of each utterance.
        nbest: N.

    Returns:
        {"utterances", "words", "errors": [of k = 1, of k = 2, ...], "wer": [in percent]}.
    """
    errors = count_errors(pairs)
    words = sum(len(columns(ref)) for ref, _ in pairs)
    sums = [sum(min(row[:k]) for row in errors) for k in range(1, nbest + 1)]
    wers = [round(100 * total / words, 2) if words else 0.0 for total in sums]
    return {"utterances": len(pairs), "words": words, "errors": sums, "wer": wers}
