"""Targets: weights by hand, filters that say what they drop, references where they are named."""

import json
import math

import pytest

from kdasr.errors import UserError
from kdasr.nbest.targets import fault, repeats, weigh

HYPOTHESES = [
    {"tokens": [2, 3], "text": "AB", "score": -1.0},
    {"tokens": [2], "text": "A", "score": -2.0},
    {"tokens": [3], "text": "B", "score": -4.0},
]


def test_posterior_weights_by_hand():
    z = 1 + math.exp(-1) + math.exp(-3)
    weights = [target.weight for target in weigh(HYPOTHESES, "posterior", 1.0)]
    assert weights == pytest.approx([1 / z, math.exp(-1) / z, math.exp(-3) / z])


def test_temperature_flattens():
    hot = [target.weight for target in weigh(HYPOTHESES, "posterior", 1e6)]
    assert hot == pytest.approx([1 / 3] * 3, abs=1e-5)
    cold = [target.weight for target in weigh(HYPOTHESES, "posterior", 0.01)]
    assert cold == pytest.approx([1, 0, 0], abs=1e-6)


def test_topk_is_uniform():
    assert [target.weight for target in weigh(HYPOTHESES, "topk", 1.0)] == pytest.approx([1 / 3] * 3)


def test_hypotheses_of_low_weight_are_left_out():
    z = 1 + math.exp(-1)  # the third has exp(-3) / (z + exp(-3)) = 0.035
    targets = weigh(HYPOTHESES, "posterior", 1.0, min_weight=0.04)
    assert [target.text for target in targets] == ["AB", "A"]
    assert [target.weight for target in targets] == pytest.approx([1 / z, math.exp(-1) / z])
    assert len(weigh(HYPOTHESES, "posterior", 1.0, min_weight=0.03)) == 3
    assert [target.weight for target in weigh(HYPOTHESES, "posterior", 1.0, min_weight=1.0)] == [1.0]
    assert len(weigh(HYPOTHESES, "topk", 1.0, min_weight=0.5)) == 3  # equal weights are wanted there


def test_scores_of_long_hypotheses_do_not_underflow():
    far = [{"tokens": [2], "text": "A", "score": -5000.0}, {"tokens": [3], "text": "B", "score": -5001.0}]
    assert weigh(far, "posterior", 1.0)[0].weight == pytest.approx(1 / (1 + math.exp(-1)))


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(UserError, match="'AB'"):
        weigh([{"tokens": [2, 3], "text": "AB", "score": float("nan")}], "posterior", 1.0)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("A", 1),
        ("A B C", 1),
        ("A A", 2),
        ("A A A A", 4),
        ("X A B A B A B Y", 3),
        ("A B A", 1),
        ("A B A B", 2),
        ("A B C D A B C D", 2),
        ("A B C A B C A B", 2),
        ("THE THE CAT SAT SAT SAT", 3),
    ],
)
def test_repeats(text, count):
    assert repeats(text.split()) == count


@pytest.mark.parametrize(
    ("tokens", "text", "score", "reason"),
    [
        ([], "", -1.0, "empty"),
        ([2] * 26, "A", -1.0, "too long for its audio"),
        ([2] * 25, "A", -1.0, None),
        ([2] * 8, "A A A A", -1.0, "looping"),
        ([2] * 8, "A A A B", -1.0, None),
        ([2] * 8, "A B", -2e9, "impossible to CTC"),
    ],
)
def test_faults_are_named(tokens, text, score, reason):
    assert fault({"tokens": tokens, "text": text, "score": score}, 100, 4, 4.0) == reason


def run(tmp_path, *options):
    from kdasr.cli import main

    return main(["targets", "--tokens", str(tmp_path / "char"), "--out", str(tmp_path / "targets"), *options])


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "char").mkdir()
    (tmp_path / "char" / "tokens.txt").write_text("<blank>\n<unk>\n<space>\nA\nB\n<sos/eos>\n")
    (tmp_path / "char" / "tokens.json").write_text(json.dumps({"type": "char"}))
    (tmp_path / "char" / "nlsyms.txt").write_text("")
    (tmp_path / "text").write_text("u1 AB A\nu2 B\n")
    return tmp_path


def test_references_train_with_weight_one(tokens, capsys):
    assert run(tokens, "--refs", str(tokens / "text")) == 0
    assert (tokens / "targets" / "hyps").read_text() == "u1 3 4 2 3\nu2 4\n"
    assert (tokens / "targets" / "hyp_lens").read_text() == "u1 4\nu2 1\n"
    assert (tokens / "targets" / "weights").read_text() == "u1 1\nu2 1\n"
    assert (tokens / "targets" / "text").read_text() == "u1 AB A\nu2 B\n"
    assert run(tokens, "--refs", str(tokens / "text")) == 0
    assert "made already" in capsys.readouterr().out


def test_nothing_to_select_from_is_refused(tokens, capsys):
    assert run(tokens) == 1
    assert "--nbest" in capsys.readouterr().err
    assert run(tokens, "--refs", str(tokens / "text"), "--k", "0") == 1
    assert not (tokens / "targets").exists()
