"""Selections measured by what was said: by hand, through the command, and without a say in the selection."""

import pytest
from target_inputs import Place, hyp, record

from kdasr.files import read_json
from kdasr.targets.select import Target
from kdasr.targets.truth import Heard, heard, lines, measure

TRUTH = {"u1": "A B C A", "u2": "B B C C", "u3": "C A", "u4": "A A"}


def test_by_hand():
    """Kept: 1 error in 4 words, 0 in 4; left out: 1 in 2 and 0 in 2, of two reasons. Unknown ones are not looked at."""
    every = [
        Heard("u1", "A B C C"),
        Heard("u2", "B B C C"),
        Heard("u3", "A", "too short"),
        Heard("u4", "A A", "looping"),
    ]
    found = measure([*every, Heard("u9", "A")], TRUTH)
    assert found["kept"] == {
        "utterances": 2, "words": 8, "errors": 1, "wer": 12.5, "right": 1, "precision": 50.0,
    }  # fmt: skip
    assert found["left out"] == {
        "utterances": 2, "words": 4, "errors": 1, "wer": 25.0, "right": 1, "precision": 50.0,
    }  # fmt: skip
    assert found["recall"] == 50.0  # one of two that are right
    assert {reason: (one["utterances"], one["errors"]) for reason, one in found["reasons"].items()} == {
        "looping": (1, 0), "too short": (1, 1),
    }  # fmt: skip
    assert "  by what was said, 50.00 % of the wholly right ones were kept:" in lines(found)
    assert "    left out, looping: 1 utterances, WER 0.00 %, wholly right 100.00 %" in lines(found)
    assert lines(measure([], TRUTH)) == ["  no utterance of the archives is in --truth: the selection was not measured"]


def test_of_several_targets_the_heaviest_counts():
    targets = [Target([3], "A", 0.3, 0), Target([4], "B", 0.5, 1), Target([5], "C", 0.2, 2)]
    assert heard("u", "A", targets, "looping") == Heard("u", "B")
    assert heard("u", "A", [], "looping") == Heard("u", "A", "looping")


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    made.nbest(
        "nb",
        record("u1", hyp("A B C A", -1), hyp("A B C C", -2)),
        record("u2", hyp("B B B B", -1), hyp("B B C C", -2)),  # the best one loops
        record("u3", hyp("A", -9), hyp("C A", -9.5)),  # unsure
        record("u4", hyp("A A", -1)),
    )
    made.nbest("other", *(record(key, hyp(text, -1)) for key, text in (("u1", "A B C A"), ("u4", "B B"))))
    made.text("truth", **TRUTH)
    return made


def test_filters_are_measured_and_decide_as_without_the_truth(place, capsys):
    given = ("--nbest", place.root / "nb", "--min_token_score", -1, "--select", "topk", "--k", 1)
    assert place.targets(*given) == 0
    plain = {name: (place.out / name).read_text() for name in ("hyps", "weights", "text", "hyp_lens")}
    before = read_json(place.out / "targets.json")
    assert "truth" not in before["settings"] and "truth" not in before["summary"]
    assert place.targets(*given, "--truth", place.root / "truth") == 0
    assert {name: (place.out / name).read_text() for name in plain} == plain
    found = read_json(place.out / "targets.json")["summary"]["truth"]
    assert (found["kept"]["utterances"], found["kept"]["errors"], found["kept"]["wer"]) == (3, 0, 0.0)
    assert (found["left out"]["utterances"], found["left out"]["wer"], found["recall"]) == (1, 50.0, 100.0)
    assert list(found["reasons"]) == ["with a score a token under -1"]
    told = capsys.readouterr().out
    assert "kept: 3 utterances, WER 0.00 %, wholly right 100.00 %" in told


def test_disagreement_is_measured(place):
    given = ("--nbest", place.root / "nb", "--agree", place.root / "other", "--max_disagreement", 10)
    assert place.targets(*given, "--truth", place.root / "truth") == 0
    found = read_json(place.out / "targets.json")["summary"]["truth"]
    assert found["kept"]["utterances"] == 1 and found["left out"]["utterances"] == 3
    assert {reason: one["utterances"] for reason, one in found["reasons"].items()} == {
        "looping": 1, "that the other system has no hypothesis for": 1,
        "where the other system has over 10 % other words": 1,
    }  # fmt: skip
    assert found["recall"] == 50.0  # u1 of u1 and u4, which the other system hears wrongly


def test_what_trains_on_references_is_no_selection(place):
    refs = place.text("refs", u1="A B C A")
    assert place.targets("--nbest", place.root / "nb", "--refs", refs, "--truth", place.root / "truth") == 0
    found = read_json(place.out / "targets.json")["summary"]["truth"]
    assert found["kept"]["utterances"] + found["left out"]["utterances"] == 3


def test_another_truth_makes_another_report_and_a_damaged_one_is_refused(place, capsys):
    given = ("--nbest", place.root / "nb", "--truth", place.root / "truth")
    assert place.targets(*given) == 0
    place.text("truth", **{**TRUTH, "u4": "C C"})
    assert place.targets(*given) == 0
    assert "made already" not in capsys.readouterr().out
    assert place.targets("--nbest", place.root / "nb", "--truth", place.root / "nowhere") == 1
    assert "nowhere: no such file" in capsys.readouterr().err
