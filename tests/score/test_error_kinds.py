"""Kinds of errors by hand; which of them another decoding does not make; the tool on two scores."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.score.align import align
from kdasr.score.kinds import KINDS, Error, compare, kinds_of, read_steps, table

TOOL = Path(__file__).resolve().parents[2] / "tools" / "error_kinds.py"


def kinds(ref, hyp):
    return [error.kind for error in kinds_of(align(ref.split(), hyp.split()))]


@pytest.mark.parametrize(
    ("ref", "hyp", "expected"),
    [
        ("A B C", "a b C", []),
        ("A B C", "A B B C", ["loop"]),
        ("A B C", "A B A B A B C", ["loop"] * 4),
        ("A B C", "A B C C C", ["loop", "loop"]),
        ("A B C", "A", ["early end", "early end"]),
        ("A B C D", "A D", ["deletion", "deletion"]),
        ("A B C", "A B C X", ["late end"]),
        ("A B", "A X B", ["insertion"]),
        ("WALL STREET FELL", "WALLSTREET FELL", ["blank", "blank"]),
        ("INTO IT", "IN TO IT", ["blank", "blank"]),
        ("INTO IT", "IN TOO IT", ["insertion", "far"]),
        ("THE BILL", "THE BALL", ["near"]),
        ("THE BILL", "THE BILLS", ["near"]),
        ("THE BILL", "THE ILL", ["near"]),
        ("THE BILL", "THE BIG", ["far"]),
        ("THE BILL", "THE LIBL", ["far"]),
        ("", "A A", ["loop", "loop"]),
        ("A B C", "A B C D E", ["late end", "late end"]),
        ("A A B", "A A X B", ["insertion"]),
        ("A A", "A A A", ["loop"]),
    ],
)
def test_kinds_by_hand(ref, hyp, expected):
    found = kinds(ref, hyp)
    assert sorted(found) == sorted(expected) and set(found) <= set(KINDS)


def test_places_are_of_the_reference():
    steps = align([*"ABCDE"], [*"AXCYD", "EE"])
    expected = [Error("near", 1, False, "X"), Error("insertion", 3, True, "Y"), Error("near", 4, False, "EE")]
    assert kinds_of(steps) == expected


def test_what_one_makes_alone():
    """Greedy loses E, which the beam has; B both have wrong; of two words too many in one place the beam has one."""
    ref = ["A", "B", "C", "D", "E"]
    greedy = {"u": align(ref, ["A", "Q", "C", "XX", "YY", "D"]), "v": align(["A"], ["A"])}
    beam = {"u": align(ref, ["A", "R", "C", "ZZ", "D", "E"]), "v": align(["A"], ["B"])}
    found = compare(greedy, beam)
    assert found.words == 6 and found.sentences == (1, 1)
    assert found.both == (Counter({"near": 1, "insertion": 2, "early end": 1}), Counter({"near": 2, "insertion": 1}))
    assert found.alone == (Counter({"insertion": 1, "early end": 1}), Counter({"near": 1}))
    assert found.firsts == (Counter({"near": 1}), Counter({"near": 1}))


@pytest.fixture
def scores(tmp_path):
    (tmp_path / "ref").write_text("s1-a THE BILL FELL DOWN\ns1-b ON MAT\n")
    (tmp_path / "utt2spk").write_text("s1-a s1\ns1-b s1\n")
    said = {"greedy": "s1-a THE BALL FELL\ns1-b ON ON MAT\n", "beam": "s1-a THE BALL FELL DOWN\ns1-b ON MAT\n"}
    for name, text in said.items():
        (tmp_path / f"{name}.txt").write_text(text)
        words = ["--ref", tmp_path / "ref", "--hyp", tmp_path / f"{name}.txt", "--utt2spk", tmp_path / "utt2spk"]
        assert main(["score", *map(str, words), "--dir", str(tmp_path / name)]) == 0
    return tmp_path


def test_the_tool_on_two_scores(scores):
    run = [sys.executable, str(TOOL), str(scores / "greedy")]
    done = subprocess.run([*run, str(scores / "beam")], capture_output=True, text=True, check=True)
    rows = {row.split(" | ")[0].strip("| "): row.strip("|\n ").split(" | ")[1:] for row in done.stdout.splitlines()}
    assert rows["near"] == ["16.67", "16.67", "0.00", "0.00", "1", "0"]  # one of six words
    assert rows["early end"] == ["16.67", "0.00", "16.67", "0.00", "0", "0"]
    assert rows["loop"] == ["16.67", "0.00", "16.67", "0.00", "1", "0"]
    assert rows["all"] == ["50.00", "16.67", "33.33", "0.00", "2", "0"]
    done = subprocess.run([*run, str(scores / "nowhere")], capture_output=True, text=True)
    assert done.returncode == 1 and "error_kinds.py: " in done.stderr and "holds no finished score" in done.stderr


def test_damaged_scores_are_refused(scores):
    path = scores / "beam" / "per_utt"
    path.write_text(re.sub(r"(s1-b hyp +ON).*", r"\1", path.read_text()))
    with pytest.raises(UserError, match=r"per_utt:8: s1-b: its lines are of different lengths"):
        read_steps(scores / "beam")


def test_rates_of_nothing():
    found = compare({"u": align([], ["A"])}, {"u": []})
    assert "| late end | 100.00 | 0.00 | 100.00 | 0.00 | 1 | 0 |\n" in table(found, ("greedy", "beam"))
