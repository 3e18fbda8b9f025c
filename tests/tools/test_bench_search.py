"""tools/bench_search.py: both sides do and find the same, and the ratios of its table are those of its figures."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import bench_models
import bench_search
from bench_search import BATCH, SCENARIOS, Comparison, Spent, agreement, compare, lengths, part_of, table

from kdasr.espnet import version
from kdasr.models import find_models
from kdasr.search.engine import Engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import Row, read_rows

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
    engine = Engine(models, SearchOptions(4, 4, 0.3, maxlenratio=bench_models.RATIO), Computing(4000))
    return engine, models.first, rows


def counted(side, asked):
    """The side; which utterances it is given is noted."""

    def run(rows):
        asked.append([row.name for row in rows])
        return side(rows)

    return run


def test_both_sides_find_the_same_and_every_hypothesis_is_as_long_as_its_limit(tiny):
    engine, source, rows = tiny
    theirs = bench_models.espnet2_side(source, engine.options, "cpu", 1)
    asked = []
    part = part_of(rows, 3, 1, seed=1)
    sides = [counted(side, asked) for side in (theirs, bench_models.kdasr_side(engine))]
    done = compare(*sides, engine, rows, part, ("tiny", "stock"))
    assert (done.same_best, done.same_nbest, done.scenario, done.peer) == (1.0, 1.0, "tiny", "stock")
    names = [row.name for row in rows]
    drawn = [row.name for group in part for row in group]
    # Two warm up with the shortest; then each side has each of its utterances once, ours between theirs.
    assert asked[2:] == [[drawn[0], drawn[2]], names, [drawn[1]]]
    for side, mine in ((done.theirs, drawn), (done.ours, names)):
        seconds = {row.name: row.seconds for row in rows if row.name in mine}
        assert side.audio == pytest.approx(sum(seconds.values()))
        assert side.cpu > 0
        assert sorted(side.found) == sorted(mine)
        for name, length in seconds.items():
            assert {len(ids) for ids in side.found[name]} == {TOKENS[length]}
    assert done.ours.tokens() == 36


@pytest.mark.skipif(version() >= "202609", reason="espnet1 is gone")
def test_espnet1_has_the_same_weights(tiny):
    """In a batch of equal lengths it finds what kdasr finds."""
    engine, _, rows = tiny
    rows = [row for row in rows if row.seconds == 0.6]
    theirs = bench_models.espnet1_side(engine, SETTINGS, BATCH, BINS)(rows)
    assert theirs == bench_models.kdasr_side(engine)(rows)
    assert [len(nbest) for nbest in theirs.values()] == [4, 4, 4]


def test_ratios_are_those_of_the_figures():
    theirs = Spent(cpu=30.0, wall=50.0, audio=20.0, peak=3_000_000, found={"a": [[1, 2], [3]], "b": [[4]], "c": []})
    ours = Spent(
        cpu=12.0, wall=24.0, audio=60.0, peak=1_000_000, found={"a": [[1, 2]], "b": [[4]], "c": [[]], "d": [[]]}
    )
    row = Comparison("rnn", "them", theirs, ours, 1.0, 0.5, {}).cells(cuda=True)
    assert row["utterances, theirs / ours"] == "3 / 4"
    assert row["CPU s a second of audio"] == "1.500 / 0.200"
    assert row["ratio"] == "7.50"
    assert row["wall ratio"] == "6.25"
    assert row["RTFx (CPU)"] == "0.7 / 5.0"
    assert row["RTFx (wall)"] == "0.4 / 2.5"
    assert row["peak MB"] == "3 / 1"
    assert row["tokens a second of audio"] == "0.15 / 0.05"
    assert (row["same 1-best"], row["same N-best"]) == ("100 %", "50 %")
    assert "peak MB" not in Comparison("rnn", "them", theirs, ours, 1.0, 0.5, {}).cells(cuda=False)
    assert table([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]).splitlines() == ["|a|b|", "|---|---|", "|1|2|", "|3|4|"]


def test_agreement_counts_texts_in_order():
    def spell(ids):
        return "".join(map(str, ids)).replace("9", "")

    theirs = {"a": [[1], [1, 9], [2]], "b": [[1], [2]], "c": [[5]]}
    ours = {"a": [[1], [2]], "b": [[1], [3]], "c": [[6]], "not theirs": [[7]]}
    assert agreement(theirs, ours, spell) == (2 / 3, 1 / 3)
    for decoded in ({"a": [[1]], "nobody's": [[1]]}, {}):
        with pytest.raises(SystemExit, match="same utterances"):
            agreement(decoded, ours, spell)


@pytest.mark.parametrize(("count", "number", "together"), [(200, 8, 1), (37, 5, 1), (64, 16, 8), (24, 9, 8), (3, 8, 1)])
def test_a_part_is_drawn_from_all_lengths_and_has_no_utterance_twice(count, number, together):
    rows = [Row(f"u{number}", "", float(number)) for number in range(count)]
    parts = {seed: part_of(rows, number, together, seed) for seed in range(40)}
    for part in parts.values():
        drawn = [row for group in part for row in group]
        assert len(set(drawn)) == len(drawn) and set(drawn) <= set(rows)
        assert len(part) == min(-(-number // together), -(-count // together))
        assert [row.seconds for row in drawn] == sorted((row.seconds for row in drawn), reverse=True)
        assert all(group[0].seconds - group[-1].seconds == len(group) - 1 < together for group in part)  # neighbours
    assert parts[3] == part_of(rows, number, together, 3)
    everyone = {row for part in parts.values() for group in part for row in group}
    assert everyone == set(rows) or count == 200  # anyone may be drawn
    means = [sum(row.seconds for group in part for row in group) / sum(map(len, part)) for part in parts.values()]
    assert sum(means) / len(means) == pytest.approx((count - 1) / 2, rel=0.15)


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
