"""tools/bench_search.py: both sides do and find the same, and the ratios of its table are those of its figures."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import bench_models
import bench_search
from bench_search import BATCH, SCENARIOS, Comparison, Spent, agreement, compare, copied, lengths, parts_of, table

from kdasr.espnet import version
from kdasr.models import find_models
from kdasr.search.engine import Engine, Row, read_rows
from kdasr.search.options import SearchOptions

BINS = 8
SETTINGS = {
    "encoder": "vgg_rnn",
    "encoder_conf": {"rnn_type": "lstm", "num_layers": 1, "hidden_size": 12, "output_size": 12, "dropout": 0.0},
    "decoder": "rnn",
    "decoder_conf": {
        "rnn_type": "lstm",
        "num_layers": 1,
        "hidden_size": 10,
        "att_conf": {"atype": "location", "adim": 8, "aconv_chans": 3, "aconv_filts": 5},
    },
}
SECONDS = [0.6, 0.4, 0.6, 0.52, 0.6]
TOKENS = {0.6: 8, 0.4: 5, 0.52: 7}  # 0.56 of 15, 10 and 13 encoded frames


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """An engine, its model and rows."""
    scratch = tmp_path_factory.mktemp("bench")
    torch.manual_seed(0)
    model = bench_models.write_model(scratch / "model", SETTINGS, bins=BINS)
    models = find_models([str(model)], None)
    rows = read_rows(bench_models.write_data(scratch / "data", SECONDS, bins=BINS), models.first)
    engine = Engine(models, SearchOptions(4, 4, 0.3, maxlenratio=bench_models.RATIO), 4000)
    return engine, models.first, rows


def test_both_sides_find_the_same_and_every_hypothesis_is_as_long_as_its_limit(tiny):
    engine, source, rows = tiny
    theirs = bench_models.espnet2_side(source, engine.options, "cpu", 1)
    done = compare(theirs, bench_models.kdasr_side(engine), engine, rows, ("tiny", "stock"), rounds=2, copies=2)
    assert (done.same_best, done.same_nbest) == (1.0, 1.0)
    assert (done.scenario, done.peer, done.utterances) == ("tiny", "stock", len(rows))
    for side in (done.theirs, done.ours):
        assert side.audio == pytest.approx(sum(SECONDS))
        assert side.cpu > 0
        for row in rows:
            assert {len(ids) for ids in side.found[row.name]} == {TOKENS[row.seconds]}
    assert done.theirs.tokens() == done.ours.tokens() == 36


@pytest.mark.skipif(version() >= "202609", reason="espnet1 is gone")
def test_espnet1_has_the_same_weights(tiny):
    """In a batch of equal lengths it finds what kdasr finds."""
    engine, _, rows = tiny
    rows = [row for row in rows if row.seconds == 0.6]
    theirs = bench_models.espnet1_side(engine, SETTINGS, BATCH, BINS)(rows)
    assert theirs == bench_models.kdasr_side(engine)(rows)
    assert [len(nbest) for nbest in theirs.values()] == [4, 4, 4]


def test_ratios_are_those_of_the_figures():
    theirs = Spent(cpu=30.0, wall=50.0, audio=60.0, peak=3_000_000, found={"a": [[1, 2], [3]], "b": [[4]], "c": []})
    ours = Spent(cpu=4.0, wall=8.0, audio=60.0, peak=1_000_000, found={"a": [[1, 2]], "b": [[4]], "c": [[]]})
    row = Comparison("rnn", "them", 3, theirs, ours, 1.0, 0.5, {}).cells(cuda=True)
    assert row["ratio"] == "7.50"
    assert row["wall ratio"] == "6.25"
    assert row["RTFx (CPU)"] == "2.0 / 15.0"
    assert row["RTFx (wall)"] == "1.2 / 7.5"
    assert row["peak MB"] == "3 / 1"
    assert row["tokens, theirs / ours"] == "3 / 3"
    assert (row["same 1-best"], row["same N-best"]) == ("100 %", "50 %")
    assert "peak MB" not in Comparison("rnn", "them", 3, theirs, ours, 1.0, 0.5, {}).cells(cuda=False)
    half = ours.once(2, {})
    assert (half.cpu, half.wall, half.audio, half.peak) == (2.0, 4.0, 30.0, 1_000_000)
    assert table([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]).splitlines() == ["|a|b|", "|---|---|", "|1|2|", "|3|4|"]


def test_agreement_counts_texts_in_order():
    def spell(ids):
        return "".join(map(str, ids)).replace("9", "")

    theirs = {"a": [[1], [1, 9], [2]], "b": [[1], [2]], "c": [[5]]}
    ours = {"a#0": [[1], [2]], "a#1": [[1], [2]], "b#0": [[1], [3]], "c#0": [[6]]}
    assert agreement(theirs, ours, spell) == (3 / 4, 2 / 4)
    with pytest.raises(SystemExit, match="same utterances"):
        agreement(theirs, {"a#0": [[1]]}, spell)


@pytest.mark.parametrize(("count", "rounds"), [(3, 2), (8, 3), (16, 2), (37, 3)])
def test_parts_have_every_utterance_once(count, rounds):
    rows = [Row(f"u{number}", "", float(count - number)) for number in range(count)]
    parts = parts_of(rows, rounds)
    assert len(parts) == rounds
    assert sorted(row for part in parts for row in part) == sorted(rows)
    assert [row.name for row in copied(rows[:2], 2)] == ["u0#0", "u0#1", "u1#0", "u1#1"]


def test_lengths_are_like_wsj():
    for count in (8, 16, 200):
        seconds = lengths(count)
        assert len(seconds) == count
        assert seconds == lengths(count) != sorted(seconds)
        assert sum(seconds) / count == pytest.approx(7.8, abs=0.1)
        assert 2.0 <= min(seconds) < 5.0
        assert 11.0 < max(seconds) <= 15.0
    grouped = lengths(16, groups_of=8)
    assert sorted(map(grouped.count, set(grouped))) == [8, 8]
    assert sum(grouped) == pytest.approx(sum(lengths(16)), abs=0.1)


def test_every_network_is_there_and_scenarios_that_cannot_run_say_why():
    for kind in {scenario.kind for scenario in SCENARIOS.values()}:
        assert set(bench_models.network(kind)) == {"encoder", "encoder_conf", "decoder", "decoder_conf"}
    reasons = {label: bench_search.missing(scenario) for label, scenario in SCENARIOS.items()}
    gone = "espnet1" if version() >= "202609" else "batched"
    assert [label for label, reason in reasons.items() if reason] == [gone]
    assert version() in reasons[gone]
