"""tools/check_gpu.py: run without a GPU, run on a pretended one, and what it says of a difference."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import bench_search
import check_gpu
import torch
from check_gpu import Decoded, agree, main
from pretend_gpu import pretend_gpu

WORDS = ["--small", "--utterances", "2", "--beam", "2", "--kind"]


@pytest.fixture
def short(monkeypatch):
    """Utterances of half a second."""
    monkeypatch.setattr(check_gpu, "lengths", lambda count: [0.6, 0.5][:count])


def rows(printed):
    return {row[2]: row[3:5] for row in (line.split("|") for line in printed.splitlines()) if len(row) == 6}


def test_on_a_pretended_gpu_all_is_as_on_the_cpu(short, capsys, tmp_path):
    with pretend_gpu() as gpu:
        assert main([*WORDS, "conformer", "--device", "cuda", "--out", str(tmp_path / "x.md")]) == 0
        assert gpu.graphs > 0
    printed = capsys.readouterr().out
    found = rows(printed)
    for name in ("N-best", "single", "--graphs"):
        assert found[name][0].startswith("100.0 % of the lists") and found[name][1] == "as it should be"
    assert {"speed", "speed, CPU", "speed, --graphs"} < found.keys()
    assert {f"loss of {name}" for name in ("hypotheses", "tokens", "frames")} < found.keys()
    assert printed.endswith((tmp_path / "x.md").read_text())


def test_without_a_gpu_it_runs_too_and_tells_a_difference(short, capsys, monkeypatch):
    monkeypatch.setattr(check_gpu, "losses", lambda *_: iter([("x", 2e-3, 0.0), ("y", 0.0, 3e-2), ("z", 1e-4, 1e-3)]))
    assert main([*WORDS, "munim", "--device", "cpu"]) == 1
    found = rows(capsys.readouterr().out)
    assert "--graphs" not in found and found["N-best"][1] == "as it should be"
    assert [found[f"loss of {name}"][1] for name in "xyz"] == ["DIFFERS", "DIFFERS", "as it should be"]


def test_where_there_is_no_gpu_it_says_so(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    for program in (main, bench_search.main):
        with pytest.raises(SystemExit, match="torch finds no GPU here; run it where there is one, or"):
            program(["--device", "cuda"])


def test_lists_are_compared_in_order():
    def side(**lists):
        return Decoded(lists, 2.0, 30, 8)

    one = side(a=[("x", -1.0), ("y", -2.0)], b=[("x", -1.0)], c=[("z", -3.0), ("y", -3.5)])
    other = side(a=[("x", -1.5), ("y", -2.25)], b=[("x", -1.0), ("y", -9.0)], c=[("y", -3.4), ("z", -3.5)])
    assert agree(one, other) == (1 / 3, 0.5)
    assert one.speed([check_gpu.Row("a", "", 5.0), check_gpu.Row("b", "", 4.0)]) == (
        "15 tokens/s, 4 words/s, 4.5 x real time"
    )
