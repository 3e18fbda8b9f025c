"""tools/bench_score.py: both sides write the same reports, and the table's ratios are those of its figures."""

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import bench_score

from kdasr.score import sclite
from kdasr.score.detail import undated

needs_sclite = pytest.mark.skipif(sclite.find() is None, reason="no sclite here (Debian: apt-get install sctk)")


@needs_sclite
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


@needs_sclite
def test_the_table_divides_sclites_time_by_ours(tmp_path, monkeypatch, capsys):
    bench_score.write_texts(tmp_path, 5, 3, 0.1)
    monkeypatch.setattr(bench_score, "timed", lambda run: {"wall": 8.0, "cpu": 6.0} if run() is None else {})
    monkeypatch.setattr(bench_score, "ours", lambda directory, chars: {"wall": 2.0, "cpu": 4.0, "read": 1.0})
    bench_score.measure(tmp_path, False, argparse.Namespace(times=2, process=False, profile=False))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["kdasr,", "in", "one", "process", "2.000", "4.000", "4.0", "1.5"]
    assert lines[3].split() == ["sclite", "8.000", "6.000"]
    assert lines[4] == "  of it: read 1.000"
