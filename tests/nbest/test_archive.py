"""N-best archives: what is written is read back, and what is not whole is refused."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest

from kdasr.errors import UserError
from kdasr.files import read_json, write_json
from kdasr.nbest import archive, run_report
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
STATS = {
    "utterances": 2,
    "begun": 1000.0,
    "audio_seconds": 2.5,
    "cpu_seconds": 0.5,
    "wall_seconds": 0.75,
    "parts": {"decoder": 0.3, "encoder": 0.15},
    "grid_rows": 20,
    "grid_alive": 15,
    "peak_bytes": 1000,
}


def write(directory, shards=(0, 1, 2)):
    claim(
        directory,
        {
            "keys": archive.keys_digest(KEYS),
            "utterances": 5,
            "shards": 3,
            "shard_size": 2,
            "search": {"nbest": 3, "normalize_length": False},
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
    assert summary["audio_seconds"] == 7.5
    assert not {"cpu_seconds", "wall_seconds"} & summary.keys()  # they stand in the report
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
    with pytest.raises(UserError, match=r"nbest.1.jsonl:2: 1 whole records, expected 2; remove the file"):
        archive.read_nbest(tmp_path)


def test_an_edited_line_is_named_before_and_after_all_was_checked(tmp_path):
    for summarised in (False, True):
        directory = tmp_path / str(summarised)
        write(directory)
        if summarised:
            archive.summarise(directory)
        path = archive.shard_path(directory, 0)
        path.write_text(path.read_text().replace("dog", "dug"))
        with pytest.raises(UserError, match=r"nbest.0.jsonl:2: was changed after it was written"):
            archive.read_nbest(directory)


def test_a_shard_exchanged_with_its_checksums_is_named(tmp_path):
    write(tmp_path)
    archive.summarise(tmp_path)
    archive.write_shard(tmp_path, 0, [RECORDS[1], RECORDS[0]], STATS)
    with pytest.raises(UserError, match=r"nbest.0.jsonl: was changed after it was checked"):
        archive.read_nbest(tmp_path)


def test_other_utterances_than_the_manifest_says_are_refused(tmp_path):
    write(tmp_path)
    archive.write_shard(tmp_path, 2, [RECORDS[0]], STATS)
    with pytest.raises(UserError, match="holds other utterances than its manifest says"):
        list(archive.read_nbest(tmp_path))


def changed(**fields):
    return lambda record: {**record, **fields}


def hyp(**fields):
    return lambda record: {**record, "hyps": [{**record["hyps"][0], **fields}, *record["hyps"][1:]]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda record: {"id": record["id"]}, "its fields are not those of one"),
        (lambda record: [record], "its fields are not those of one"),
        (changed(id=3), "its id or stop is no text"),
        (changed(frames=-1), "its frames or duplicates are no count"),
        (changed(duplicates=True), "its frames or duplicates are no count"),
        (changed(hyps=[]), "0 hypotheses, expected 1 to 3"),
        (changed(hyps=2 * RECORDS[2]["hyps"]), "6 hypotheses, expected 1 to 3"),
        (hyp(ended="tired"), "hypothesis 1 has other fields"),
        (hyp(note=1), "hypothesis 1 has other fields"),
        (hyp(tokens=[1.5]), "hypothesis 1 has other tokens than ids"),
        (hyp(tokens=7), "its fields are not those of one"),
        (hyp(score="-1"), "hypothesis 1 has a score that is no number"),
        (hyp(scores={"decoder": None}), "hypothesis 1 has a score that is no number"),
        (hyp(score=float("inf")), "hypothesis 1 has a score that is no number"),
        (hyp(score=float("nan")), "hypothesis 1 has a score that is no number"),
        (hyp(scores={"decoder": float("-inf")}), "hypothesis 1 has a score that is no number"),
        (hyp(score=-2.5), "its hypotheses are not ordered by score"),
        (hyp(text="one too three"), "two of its hypotheses have the same text"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, change, fault):
    write(tmp_path)
    archive.write_shard(tmp_path, 1, [RECORDS[3], RECORDS[2]], STATS)
    text = json.dumps(change(RECORDS[2]))
    path = archive.shard_path(tmp_path, 1)
    path.write_text(path.read_text().split("\n")[0] + "\n" + text + "\n")
    stats = read_json(tmp_path / "stats.1.json")
    write_json(tmp_path / "stats.1.json", {**stats, "lines": " ".join(archive.checksums(path.read_bytes()))})
    with pytest.raises(UserError) as caught:
        list(archive.read_nbest(tmp_path))
    assert str(caught.value).startswith(f"{path}:2: is no N-best record ({fault});")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_not_written(tmp_path, number):
    write(tmp_path, shards=())
    with pytest.raises(ValueError, match="JSON compliant"):
        archive.write_shard(tmp_path, 0, [hyp(score=number)(RECORDS[0])], STATS)
    assert not archive.shard_path(tmp_path, 0).exists()


def test_order_by_length_is_left_to_the_search(tmp_path):
    record = hyp(score=-2.5)(RECORDS[2])
    assert archive.record_fault(record, 3) == "its hypotheses are not ordered by score"
    assert archive.record_fault(record, 3, ordered=False) is None


def test_report_by_hand(tmp_path):
    """Two processes side by side for half a second, a break of nine, and a third shard."""
    write(tmp_path, shards=())
    for shard, begun in enumerate((1000.0, 1000.25, 1010.0)):
        archive.write_shard(tmp_path, shard, RECORDS[2 * shard : 2 * shard + 2], {**STATS, "begun": begun})
    summary = archive.summarise(tmp_path, {"a1": "a cat"})
    report = run_report.read(tmp_path)
    assert report["wall_seconds"] == 1.75
    assert (report["process_seconds"], report["cpu_seconds"]) == (2.25, 1.5)
    assert report["utterances_per_second"] == round(5 / 1.75, 2)
    assert report["tokens_per_second"] == round(summary["tokens"] / 1.75, 2)
    assert (report["rtfx"], report["rtfx_cpu"]) == (round(7.5 / 1.75, 2), 5.0)
    assert report["grid_fill"] == 0.75
    assert report["shares"] == {"decoder": 0.4, "encoder": 0.2, "rest": 0.4}
    assert report["peak_bytes"] == 1000
    assert not report.keys() & summary.keys()  # one source for each figure
    shown = "\n".join(run_report.table(tmp_path, summary, report))
    for words in (
        "5 utterances, 9 hypotheses, 1 duplicates merged, 2 empty (2 of them best)",
        "4.3 x real time, 5.0 x a CPU second, 2.9 utterances/s",
        "grid fill   75.0 %",
        "decoder 40 %, encoder 20 %, rest 40 %",
        "searches    end detected 5",
        "hypotheses  eos 8, too short 1",
        "1-best 50.00 % errors, best of 3 0.00 %",
    ):
        assert words in shown


def test_overlapping_seconds_count_once():
    assert run_report.busy([]) == 0
    assert run_report.busy([(5, 2), (0, 10), (3, 1)]) == 10
    assert run_report.busy([(20, 1), (0, 2), (1, 2)]) == 4


def test_a_sample_is_spread_and_fixed():
    assert run_report.sample(100, 4) == [12, 37, 62, 87]
    assert run_report.sample(3, 10) == [0, 1, 2]
    assert run_report.sample(7, 1) == [3]


def test_identity_check_counts_what_differs_and_says_so_loudly():
    other = {
        "a1": RECORDS[0],
        "a2": {**RECORDS[1], "hyps": RECORDS[1]["hyps"][::-1]},  # another order
        "b1": hyp(score=-1.25)(RECORDS[2]),
        "b2": RECORDS[3],
        "c1": {**RECORDS[4], "hyps": record("c1", ["naive"])["hyps"]},
    }
    checked = run_report.check_single(RECORDS, 9, other.__getitem__)
    assert checked == {
        "utterances": 5,
        "identical": 3,
        "rate": 0.6,
        "largest_score_difference": 0.25,
        "different": ["a2", "c1"],
    }
    shown = run_report.describe_check(checked)
    assert "3 of 5 utterances decoded alone give the same list (60.0 %)" in shown[0]
    assert shown[1].startswith("WARNING: 2 LISTS DIFFER") and "as a2" in shown[1]
    [shown] = run_report.describe_check(checked, bf16=True)
    assert "3 of 5 utterances decoded alone, in float32, give the same list (60.0 %), scores within 0.2" in shown
    same = run_report.check_single(RECORDS, 9, {one["id"]: one for one in RECORDS}.__getitem__)
    assert same["rate"] == 1.0 and len(run_report.describe_check(same)) == 1


def test_the_digest_of_utterances_tells_all_lists_apart():
    lists = [
        [],
        [""],
        ["a"],
        ["ab", "c"],
        ["a", "bc"],
        ["abc"],
        ["c", "ab"],
        ["ab", "c", ""],
        ["a", "b", "c"],
        ["a", "b"],
    ]
    assert len({archive.keys_digest(keys) for keys in lists}) == len(lists)
    assert archive.keys_digest(["ab", "c"]) == hashlib.sha256(b"ab\nc\n").hexdigest()[:16]


def test_records_at_their_limits():
    """Equal scores, as many hypotheses as asked for, and one more."""
    one = record("a", ["x", "y", "z"])
    equal = {**one, "hyps": [{**h, "score": -1.0} for h in one["hyps"]]}
    assert archive.record_fault(equal, 3) is None
    assert archive.record_fault(one, 3) is None
    assert archive.record_fault(one, 2) == "3 hypotheses, expected 1 to 2"
    assert archive.record_fault({**one, "hyps": one["hyps"][:1]}, 1) is None


def test_what_is_empty_has_no_words():
    """Whether it has tokens or not; other white space than the plain one is a word."""
    one = {**record("a", ["A", "B", "C", "D"]), "duplicates": 3}
    for h, text in zip(one["hyps"], ["  ", "\u00a0", "\t", "x"], strict=True):
        h["text"] = text
    one["hyps"][3]["tokens"] = []
    found = archive.counts([one, record("b", ["x y", "z"])])
    assert (found["empty"], found["empty_best"], found["hypotheses"], found["duplicates"]) == (2, 1, 6, 3)
    assert found["tokens"] == 3 + 3 + 1


def test_a_shard_is_not_there_without_its_stats(tmp_path):
    write(tmp_path, shards=())
    with pytest.raises(TypeError):
        archive.write_shard(tmp_path, 0, RECORDS[:2], {**STATS, "parts": object()})
    assert not list(tmp_path.glob("nbest.*"))


def test_an_archive_that_is_found_damaged_is_not_finished_any_more(tmp_path):
    write(tmp_path)
    archive.summarise(tmp_path)
    path = archive.shard_path(tmp_path, 2)
    path.write_bytes(path.read_bytes().replace(b"na", b"no"))
    with pytest.raises(UserError, match="was changed"):
        archive.summarise(tmp_path)
    assert not (tmp_path / "summary.json").exists()


def test_the_costs_of_shards_that_differ():
    """Each figure by hand: 4 s, 1 s inside of these, and 2 s that overlap by one."""
    rows = [
        {"begun": 10.0, "wall_seconds": 4.0, "cpu_seconds": 3.0, "audio_seconds": 50.0, "parts": {"encoder": 2.0},
         "grid_rows": 10, "grid_alive": 10, "peak_bytes": 5},
        {"begun": 11.0, "wall_seconds": 1.0, "cpu_seconds": 1.0, "audio_seconds": 10.0, "parts": {"decoder": 0.7},
         "grid_rows": 30, "grid_alive": 2, "peak_bytes": 9},
        {"begun": 13.0, "wall_seconds": 2.0, "cpu_seconds": 0.0, "audio_seconds": 40.0, "parts": {"encoder": 0.8},
         "grid_rows": 10, "grid_alive": 8, "peak_bytes": 3},
    ]  # fmt: skip
    for order in itertools.permutations(rows):
        found = run_report.costs(order, {"utterances": 10, "tokens": 60, "audio_seconds": 100.0})
        assert found == {
            "wall_seconds": 5.0, "process_seconds": 7.0, "cpu_seconds": 4.0, "utterances_per_second": 2.0,
            "tokens_per_second": 12.0, "rtfx": 20.0, "rtfx_cpu": 25.0, "grid_fill": 0.4,
            "shares": {"decoder": 0.1, "encoder": 0.4, "rest": 0.5}, "peak_bytes": 9,
        }  # fmt: skip


def test_identity_looks_at_each_difference_without_its_sign():
    for change in (0.5, -0.5):
        other = hyp(score=RECORDS[2]["hyps"][0]["score"] + change)(RECORDS[2])
        checked = run_report.check_single([RECORDS[2]], 1, lambda _: other)
        assert checked["largest_score_difference"] == 0.5 and checked["identical"] == 1


@pytest.mark.parametrize(
    ("utterances", "shards", "size", "right"),
    [
        *((5, 3, 2, True), (6, 3, 2, True), (4, 3, 2, False), (7, 3, 2, False), (5, 2, 2, False), (5, 4, 2, False)),
        *(
            (1, 1, 200, True),
            (1, 2, 200, False),
            (5, 5, 1, True),
            (0, 0, 2, False),
            (5, 3, 0, False),
            (5, 1, -5, False),
        ),
    ],
)
def test_a_manifest_has_as_many_shards_as_its_utterances_need(tmp_path, utterances, shards, size, right):
    write(tmp_path, shards=())
    manifest = read_json(tmp_path / "manifest.json")
    write_json(tmp_path / "manifest.json", manifest | {"utterances": utterances, "shards": shards, "shard_size": size})
    if right:
        assert archive.read_manifest(tmp_path)["shards"] == shards
    else:
        with pytest.raises(UserError, match="is not an N-best archive's manifest"):
            archive.read_manifest(tmp_path)


def test_a_line_that_was_begun_behind_the_last_is_named(tmp_path):
    write(tmp_path)
    path = archive.shard_path(tmp_path, 1)
    path.write_bytes(path.read_bytes() + b"{")
    with pytest.raises(UserError, match=r"nbest\.1\.jsonl:3: 2 whole records, expected 2"):
        list(archive.read_nbest(tmp_path))
