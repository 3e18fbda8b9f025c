"""N-best archives: a directory of shards `nbest.S.jsonl`, one JSON record an utterance, and a manifest.

A record:

    {"id": "011c0201", "frames": 512, "stop": "end detected", "duplicates": 0,
     "hyps": [{"tokens": [5, 9], "text": "at", "score": -1.25,
               "scores": {"decoder": -1.0, "ctc": -1.8}, "ended": "eos"}, ...]}

frames are input frames (10 ms). Hypotheses stand best first; there may be fewer than asked for, as those of the
same text are merged into the best one (`duplicates` counts the others). A score is the search's weighted sum,
`scores` its parts without their weights, natural logarithms of probabilities. `ended` is "eos"; "maxlen" for
a hypothesis cut off at the limit of tokens; "none" (nothing ended) or "too short" (nothing left to decode
after the encoder's subsampling) for the one empty hypothesis that such an utterance has.

`manifest.json` says what made the archive; `stats.S.json` what a shard cost; `summary.json` is there once
all was checked, and holds each shard's hash.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import atomic_write, read_json, write_json
from kdasr.shards import digest


def shard_path(directory: str | Path, shard: int) -> Path:
    """Where a shard stands, from 0."""
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
    """Write a shard whole or not at all; its stats before it, so that where a shard is, they are."""
    write_json(Path(directory) / f"stats.{shard}.json", stats)
    with atomic_write(shard_path(directory, shard)) as stream:
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")


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
    if not {"search", "utterances", "shards", "shard_size", "keys"} <= manifest.keys():
        raise UserError(f"{path}: is not an N-best archive's manifest; remove the directory and run kdasr nbest again")
    return manifest


def read_nbest(directory: str | Path) -> Iterator[dict[str, Any]]:
    """The records of an archive, in the order of its data directory.

    All shards are checked for being there, whole and unedited before the first record is given.

    Raises:
        UserError: unfinished, a shard cut short or changed since (it is named).
    """
    manifest = read_manifest(directory)
    missing = missing_shards(directory, manifest["shards"])
    if missing:
        raise UserError(
            f"{directory}: {len(missing)} of {manifest['shards']} shards are missing, the first is "
            f"{shard_path(directory, missing[0]).name}; run kdasr nbest again, which makes these only"
        )
    summary = Path(directory) / "summary.json"
    hashes = read_json(summary)["shards"] if summary.is_file() else None
    for shard in range(manifest["shards"]):
        _check_shard(directory, shard, manifest, hashes)
    return _records(directory, manifest)


def _check_shard(directory: str | Path, shard: int, manifest: Mapping[str, Any], hashes: Sequence[str] | None) -> None:
    path = shard_path(directory, shard)
    expected = min(manifest["shard_size"], manifest["utterances"] - shard * manifest["shard_size"])
    data = path.read_bytes()
    found = data.count(b"\n")
    if found != expected or not data.endswith(b"\n"):
        raise UserError(f"{path}: {found} whole records, expected {expected}; remove it and run kdasr nbest again")
    if hashes is not None and hashlib.sha256(data).hexdigest()[:16] != hashes[shard]:
        raise UserError(
            f"{path}: was changed after it was checked; remove it and summary.json, and run kdasr nbest again"
        )


def _records(directory: str | Path, manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    keys = hashlib.sha256()
    for shard in range(manifest["shards"]):
        path = shard_path(directory, shard)
        with open(path, encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    record = json.loads(line)
                    keys.update(f"{record['id']}\n".encode())
                except (ValueError, KeyError, TypeError):
                    raise UserError(
                        f"{path}:{number}: is no N-best record; remove the file and run kdasr nbest again"
                    ) from None
                yield record
    if keys.hexdigest()[:16] != manifest["keys"]:
        raise UserError(
            f"{directory}: holds other utterances than its manifest says; remove it and run kdasr nbest again"
        )


def summarise(directory: str | Path, refs: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Check an archive whole, and write and return its summary.json.

    Args:
        directory: the archive.
        refs: transcripts, if there are any: words of the 1-best and of the best among k are then counted against them.
    """
    (Path(directory) / "summary.json").unlink(missing_ok=True)
    for left in Path(directory).glob(".*.tmp"):
        left.unlink()  # by a run that was killed while it wrote
    manifest = read_manifest(directory)
    stops: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    pairs: list[tuple[str, list[str]]] = []
    for record in read_nbest(directory):
        stops[record["stop"]] += 1
        ended.update(hyp["ended"] for hyp in record["hyps"])
        counts["hypotheses"] += len(record["hyps"])
        counts["duplicates"] += record["duplicates"]
        counts["empty"] += sum(not hyp["text"].strip() for hyp in record["hyps"])
        counts["empty_best"] += not record["hyps"][0]["text"].strip()
        counts["tokens"] += sum(len(hyp["tokens"]) for hyp in record["hyps"])
        if refs is not None and record["id"] in refs:
            pairs.append((refs[record["id"]], [hyp["text"] for hyp in record["hyps"]]))
    stats = [read_json(Path(directory) / f"stats.{shard}.json") for shard in range(manifest["shards"])]
    summary: dict[str, Any] = {"utterances": manifest["utterances"]}
    summary |= {key: counts[key] for key in ("hypotheses", "duplicates", "empty", "empty_best", "tokens")}
    summary |= {"ended": dict(sorted(ended.items())), "stopped": dict(sorted(stops.items()))}
    for key in ("audio_seconds", "cpu_seconds", "wall_seconds"):
        summary[key] = round(sum(one[key] for one in stats), 3)
    if pairs:
        summary["words"] = oracle(pairs, manifest["search"]["nbest"])
    summary["shards"] = [digest(shard_path(directory, shard)) for shard in range(manifest["shards"])]
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
    from kdasr.score.align import align_all, count, normal

    owners = [number for number, (_, hyps) in enumerate(pairs) for _ in hyps]
    hyps = [[normal(word) for word in hyp.split()] for _, hyps in pairs for hyp in hyps]
    refs = [[normal(word) for word in ref.split()] for ref, _ in pairs]
    errors: list[list[int]] = [[] for _ in pairs]
    for owner, operations in zip(owners, align_all([refs[owner] for owner in owners], hyps), strict=True):
        errors[owner].append(count(operations).errors)
    words = sum(map(len, refs))
    sums = [sum(min(row[:k]) for row in errors) for k in range(1, nbest + 1)]
    wers = [round(100 * total / words, 2) if words else 0.0 for total in sums]
    return {"utterances": len(pairs), "words": words, "errors": sums, "wer": wers}
