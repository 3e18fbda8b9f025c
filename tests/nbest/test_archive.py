"""N-best archives: what is written is read back, and what is not whole is refused."""

from __future__ import annotations

import json

import pytest

from kdasr.errors import UserError
from kdasr.nbest import archive
from kdasr.shards import claim

KEYS = ["a1", "a2", "b1", "b2", "c1"]


def record(key, texts, scores=None, ended="eos"):
    hyps = [
        {
            "tokens": [3 + i] * len(text),
            "text": text,
            "score": -1.0 - i,
            "scores": {"decoder": -1.0 - i},
            "ended": ended,
        }
        for i, text in enumerate(texts)
    ]
    return {"id": key, "frames": 100, "hyps": hyps, "duplicates": 1 if key == "a1" else 0, "stop": "end detected"}


RECORDS = [
    record("a1", ["the cat", "a cat"]),
    record("a2", ["", "dog"]),
    record("b1", ["one two three", "one too three", "won two three"]),
    record("b2", [""], ended="too short"),
    record("c1", ["naïve"]),
]
STATS = {"utterances": 2, "audio_seconds": 2.5, "cpu_seconds": 0.5, "wall_seconds": 0.75}


def write(directory, shards=(0, 1, 2)):
    claim(
        directory,
        {
            "keys": archive.keys_digest(KEYS),
            "utterances": 5,
            "shards": 3,
            "shard_size": 2,
            "search": {"nbest": 3},
            "model": "0123",
        },
    )
    for shard in shards:
        archive.write_shard(directory, shard, RECORDS[2 * shard : 2 * shard + 2], STATS)


def test_reads_back_what_was_written_in_order(tmp_path):
    write(tmp_path)
    assert list(archive.read_nbest(tmp_path)) == RECORDS
    assert archive.read_manifest(tmp_path)["model"] == "0123"


def test_summary_counts(tmp_path):
    write(tmp_path)
    (tmp_path / ".nbest.0.jsonl.x.tmp").write_text("left by a killed run")
    refs = {"a1": "a cat", "a2": "dog", "b1": "one two three", "c1": "naive", "b2": "x y"}
    summary = archive.summarise(tmp_path, refs)
    assert (summary["utterances"], summary["hypotheses"], summary["duplicates"]) == (5, 9, 1)
    assert (summary["empty"], summary["empty_best"]) == (2, 2)
    assert summary["ended"] == {"eos": 8, "too short": 1}
    assert (summary["audio_seconds"], summary["cpu_seconds"]) == (7.5, 1.5)
    # words 2 + 1 + 3 + 1 + 2; errors of the 1-best: the/a, dog missing, none, naïve, two missing
    assert summary["words"] == {"utterances": 5, "words": 9, "errors": [5, 3, 3], "wer": [55.56, 33.33, 33.33]}
    assert not list(tmp_path.glob(".*.tmp"))
    assert list(archive.read_nbest(tmp_path)) == RECORDS


def test_unfinished_is_refused(tmp_path):
    write(tmp_path, shards=(0, 2))
    with pytest.raises(UserError, match=r"1 of 3 shards are missing, the first is nbest.1.jsonl"):
        archive.read_nbest(tmp_path)
    with pytest.raises(UserError, match="no N-best archive"):
        archive.read_manifest(tmp_path / "elsewhere")


@pytest.mark.parametrize("summarised", [False, True])
def test_a_shard_cut_short_is_named(tmp_path, summarised):
    write(tmp_path)
    if summarised:
        archive.summarise(tmp_path)
    path = archive.shard_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"nbest.1.jsonl: 1 whole records, expected 2; remove it"):
        archive.read_nbest(tmp_path)


def test_an_edited_shard_is_named(tmp_path):
    write(tmp_path)
    archive.summarise(tmp_path)
    path = archive.shard_path(tmp_path, 0)
    path.write_text(path.read_text().replace("a cat", "a cab"))
    with pytest.raises(UserError, match=r"nbest.0.jsonl: was changed after it was checked"):
        archive.read_nbest(tmp_path)


def test_other_utterances_than_the_manifest_says_are_refused(tmp_path):
    write(tmp_path)
    path = archive.shard_path(tmp_path, 2)
    path.write_text(json.dumps(RECORDS[0]) + "\n")
    with pytest.raises(UserError, match="holds other utterances than its manifest says"):
        list(archive.read_nbest(tmp_path))


def test_a_line_that_is_no_record_is_named(tmp_path):
    write(tmp_path)
    path = archive.shard_path(tmp_path, 0)
    path.write_text(path.read_text().split("\n")[0] + "\n{]\n")
    with pytest.raises(UserError, match=r"nbest.0.jsonl:2: is no N-best record"):
        list(archive.read_nbest(tmp_path))
