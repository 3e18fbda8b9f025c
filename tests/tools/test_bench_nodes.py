"""tools/bench_nodes.py: the simulation of an array by hand, and the words of its table."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import bench_nodes
from bench_nodes import BINS, FRAMES_A_SECOND, MODEL_BYTES, SUBMIT, Rates, main, simulate, spoken


def test_an_array_by_hand(monkeypatch):
    """Ten utterances of 6 s in shards of 3: 18, 18, 18 and 6 s; of three elements the first has 24 s."""
    for name, seconds in (("SHORTEST", 6.0), ("LONGEST", 6.0), ("MEAN", 6.0)):
        monkeypatch.setattr(bench_nodes, name, seconds)
    made = simulate(60 / 3600, 3, 3, Rates(speed=2.0, start=4.0, merge=100.0), disk=1e6)
    assert (made.elements, made.shards) == (3, 4)
    assert made.start == pytest.approx(SUBMIT + 4 + 3 * MODEL_BYTES / 1e6)
    assert made.transfer == pytest.approx(60 * FRAMES_A_SECOND * BINS * 4 / 1e6)
    assert made.work == pytest.approx(10) and made.waiting == pytest.approx(12 - 10)
    assert made.merge == pytest.approx(1)
    assert made.total == pytest.approx(made.start + made.transfer + 12 + 1)


def test_smaller_shards_wait_less_and_more_nodes_pay_less_each(capsys):
    rates = Rates(13.0, 5.0, 0.3)
    large, small = (simulate(100, 128, size, rates, 500e6) for size in (256, 32))
    assert small.waiting < large.waiting and small.work == pytest.approx(large.work)
    main(["--speed", "13", "--start", "5", "--merge", "0.3", "--hours", "100", "--nodes", "1", "8", "--cores", "4"])
    said, _, _, _, *rows = capsys.readouterr().out.splitlines()
    assert said.startswith("13.0 s of audio a CPU second; 5.0 CPU s before the first shard")
    cells = [row.split("|")[1:-1] for row in rows]
    assert [row[:3] for row in cells] == [["1", "4", "181"], ["8", "32", "181"]]
    shares = [int(row[-1].partition("(")[2].split(" %")[0]) for row in cells]
    assert 100 > shares[0] > shares[1] > 50


def test_times_are_spoken():
    assert [spoken(seconds) for seconds in (9.6, 119, 121, 7100, 7300)] == [
        "10 s",
        "119 s",
        "2 min",
        "118 min",
        "2.0 h",
    ]
