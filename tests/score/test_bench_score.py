"""tools/bench_score.py: both sides write the same reports, and the table's ratios are those of its figures."""

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import bench_score

from kdasr.score import sclite
from kdasr.score.detail import undated


@pytest.mark.needs("sclite")
@pytest.mark.parametrize("chars", [False, True])
def test_both_sides_make_the_same_reports(chars, tmp_path):
    words, characters = bench_score.write_texts(tmp_path, 60, 20, 0.1)
    assert 15 < words / 60 < 25 and 3 < characters / words < 7
    bench_score.ours(tmp_path, chars)
    bench_score.theirs(sclite.find(), tmp_path, chars)
    names = sorted(path.name for path in (tmp_path / "ours").iterdir())
    assert names == [f"hyp.trn.{kind}" for kind in ("dtl", "pra", "raw", "sgml", "sys")]
    for name in names:
        assert undated((tmp_path / "ours" / name).read_bytes()) == undated((tmp_path / "theirs" / name).read_bytes())


@pytest.mark.needs("sclite")
def test_the_table_divides_sclites_time_by_ours(tmp_path, monkeypatch, capsys):
    bench_score.write_texts(tmp_path, 5, 3, 0.1)
    seconds = {"sclite": {"wall": 8.0, "cpu": 6.0}, "kdasr": {"wall": 4.0, "cpu": 2.0}}
    runs = []

    def timed(run):
        run()
        return seconds[runs[-1]]

    monkeypatch.setattr(bench_score, "timed", timed)
    monkeypatch.setattr(bench_score, "theirs", lambda *_: runs.append("sclite"))
    monkeypatch.setattr(bench_score, "process", lambda *_: runs.append("kdasr"))
    monkeypatch.setattr(bench_score, "ours", lambda directory, chars: {"wall": 2.0, "cpu": 4.0, "read": 1.0})
    bench_score.measure(tmp_path, False, argparse.Namespace(times=2, parts=True, profile=False))
    assert runs == 3 * ["kdasr", "sclite"]  # in turns, after one that warms up
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["kdasr", "score", "4.000", "2.000", "2.0", "3.0"]
    assert lines[3].split() == ["sclite", "8.000", "6.000"]
    assert lines[4].split() == ["kdasr,", "no", "start", "2.000", "4.000", "4.0", "1.5"]
    assert lines[5] == "  of it: read 1.000"
    bench_score.measure(tmp_path, False, argparse.Namespace(times=2, parts=False, profile=False))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["words", "kdasr", "sclite"]
