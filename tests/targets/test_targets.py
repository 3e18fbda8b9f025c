"""`kdasr targets`: what it writes, reports and leaves out, and what it refuses without leaving anything behind."""

import argparse
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from target_inputs import TOKENS, Place, hyp, record, write_archive, write_targets, write_tokens

from kdasr.bin.targets import add_arguments
from kdasr.files import read_json, read_table, write_json
from kdasr.targets import gather as targets_module
from kdasr.targets.check import check_targets
from kdasr.targets.report import Tally, measured, warning
from kdasr.targets.select import Reference, Selection, Target


@pytest.fixture
def place(tmp_path):
    """u1 is heard right at once, u2 as the third of three, u3 never; texts of what was said, and of two of them."""
    made = Place(tmp_path)
    made.nbest("nb", *records())
    made.text("said", u1="A B C A", u2="B B C C", u3="C A")
    made.text("two", u1="A B C A", u2="B B C C")
    return made


def records():
    return [
        record("u1", hyp("A B C A", -1), hyp("A B C C", -2), hyp("A C C C", -3)),  # 0, 1, 2 errors in 4 words
        record("u2", hyp("B B B B", -1), hyp("B B", -1.5), hyp("B B C C", -2)),  # looping, 2, 0 errors
        record("u3", hyp("A", -1), hyp("", -2), hyp("C C", -4)),  # 1 error, empty, 1 error in 2 words
    ]


def test_references_train_with_weight_one(place, capsys):
    refs = place.text("text", u1="AB A", u2="B")
    assert place.targets("--refs", refs) == 0
    assert (place.out / "hyps").read_text() == "u1 3 4 2 3\nu2 4\n"
    assert (place.out / "hyp_lens").read_text() == "u1 4\nu2 1\n"
    assert (place.out / "weights").read_text() == "u1 1\nu2 1\n"
    assert (place.out / "text").read_text() == "u1 AB A\nu2 B\n"
    assert place.targets("--refs", refs) == 0
    assert "made already" in capsys.readouterr().out


def test_posterior_needs_no_reference(place, capsys):
    assert place.targets("--nbest", place.root / "nb", "--min_weight", 0) == 0
    z = 1 + math.exp(-1) + math.exp(-2)
    weights = [float(word) for word in place.table("weights")["u1"].split()]
    assert weights == pytest.approx([1 / z, math.exp(-1) / z, math.exp(-2) / z], rel=1e-8)
    assert place.table("hyps")["u3"] == "3 5 2 5" and place.table("hyp_lens")["u3"] == "1 3"
    assert place.table("text") == {"u1": "A B C A", "u2": "B B", "u3": "A"}
    told = capsys.readouterr().out
    assert "7 targets for 3 utterances" in told and "WER" not in told
    assert "  left out 1 empty, as u3: \n" in told and "  left out 1 looping, as u2: B B B B\n" in told
    summary = read_json(place.out / "targets.json")["summary"]
    assert summary["dropped"] == {"empty": 1, "looping": 1} and summary["hypotheses_read"] == 9
    assert "measured" not in summary


def test_references_win_over_hypotheses(place):
    assert place.targets("--nbest", place.root / "nb", "--refs", place.text("u2", u2="C"), "--select", "topk") == 0
    assert place.table("text") == {"u1": "A B C A", "u2": "C", "u3": "A"}
    assert read_json(place.out / "targets.json")["summary"]["hypotheses_read"] == 6


@pytest.mark.parametrize("k", [1, 2, 3])
def test_topk_measures_the_teacher_and_warns(place, capsys, k):
    assert (
        place.targets("--nbest", place.root / "nb", "--select", "topk", "--k", k, "--against", place.root / "two") == 0
    )
    told = capsys.readouterr().out
    rates = read_json(place.out / "targets.json")["summary"]["measured"]
    # the teacher's best of u1 and u2 are 0 and 2 errors; of the first k the best are 0 and 2, 2 or 0
    oracle = 0 if k == 3 else 25
    # u1 has 0, then 0.5, then 1 error by weight; u2's loop is left out, so it has 2, then 1
    targets = {1: 25.0, 2: 18.75, 3: 25.0}[k]
    assert rates == {
        "utterances": 2, "words": 8, "wer_1best": 25.0, "wer_oracle": oracle, "with_targets": 2, "wer_targets": targets
    }  # fmt: skip
    expected = f"teacher's best 25.00 %, nearest of {k} {oracle:.2f} %, targets by weight {targets:.2f} %"
    assert f"  WER on 2 utterances with references: {expected}" in told
    assert "warning" not in told


def test_a_teacher_that_knows_its_audio_is_warned_of(place, capsys):
    one = place.text("one", u1="A B C A")
    nbest = write_archive(place.root / "nb1", records()[:1], place.tokens)
    assert place.targets("--nbest", nbest, "--select", "topk", "--k", 2, "--against", one) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-2] == (
        "  warning: equal weights teach 12.5 % of words wrongly, the teacher's best alone 0.0 %: a teacher that knows "
        "audio well, above all what it was trained on, gives one right hypothesis and 1 wrong ones;"
    )
    assert all(remedy in told[-1] for remedy in ("--select posterior", "untranscribed audio", "kdasr data folds"))
    assert read_json(place.out / "targets.json")["summary"]["warning"].startswith("equal weights")
    assert place.targets("--nbest", nbest, "--select", "topk", "--k", 1, "--against", one) == 0
    assert "warning" not in capsys.readouterr().out
    assert place.targets("--nbest", nbest, "--against", one) == 0  # posterior weights are not equal
    assert "warning" not in capsys.readouterr().out


def test_texts_that_measure_nothing_are_told_of(place, capsys):
    assert place.targets("--nbest", place.root / "nb", "--against", place.text("other", v1="A")) == 0
    assert "no utterance of the archives has a reference in --against" in capsys.readouterr().out


def test_wer_weights(place):
    said = place.root / "said"
    assert place.targets("--nbest", place.root / "nb", "--select", "wer", "--beta", 4, "--against", said) == 0
    z = 1 + math.exp(-1) + math.exp(-2)
    weights = [float(word) for word in place.table("weights")["u1"].split()]
    assert weights == pytest.approx([1 / z, math.exp(-1) / z, math.exp(-2) / z], rel=1e-8)
    # u2: 2 and 0 errors in 4 words
    weights = [float(word) for word in place.table("weights")["u2"].split()]
    assert weights == pytest.approx([math.exp(-2) / (1 + math.exp(-2)), 1 / (1 + math.exp(-2))], rel=1e-8)
    assert place.table("text")["u2"] == "B B C C"  # of the largest weight
    assert place.table("weights")["u3"] == "0.5 0.5"


@pytest.mark.parametrize("similarity", ["errors", "bleu"])
def test_best_takes_the_nearest(place, similarity):
    options = ("--select", "best", "--similarity", similarity, "--against", place.root / "said")
    assert place.targets("--nbest", place.root / "nb", *options) == 0
    # u3: "A" has 2 wrong characters of "C A" (and a BLEU of 100 exp(1 - 2)), "C C" has 1 (and 50 exp(0))
    assert place.table("text") == {"u1": "A B C A", "u2": "B B C C", "u3": "C C"}
    assert set(place.table("weights").values()) == {"1"}
    rates = read_json(place.out / "targets.json")["summary"]["measured"]
    assert rates["wer_targets"] == 10.0 and rates["wer_oracle"] == 10.0 and rates["wer_1best"] == 30.0


def test_mix_merges_and_falls_back_to_the_reference(place, capsys):
    options = ("--select", "mix", "--ref_weight", 0.6, "--k", 2, "--min_frames", 20, "--against", place.root / "said")
    assert place.targets("--nbest", place.root / "nb", *options) == 0
    # more than 5 tokens are too long now: none of u1, "B B" of u2 (3 tokens), "A" and "C C" of u3
    assert place.table("text") == {"u1": "A B C A", "u2": "B B C C", "u3": "C A"}
    assert place.table("weights")["u1"] == "1" and place.table("weights")["u2"] == "0.6 0.4"
    z = 1 + math.exp(-3)
    assert [float(word) for word in place.table("weights")["u3"].split()] == pytest.approx(
        [0.6, 0.4 / z, 0.4 * math.exp(-3) / z]
    )
    assert "1 utterances have no hypothesis left, and train on their reference, as u1" in capsys.readouterr().out
    assert place.targets("--nbest", place.root / "nb", *options[:4], "--against", place.root / "said") == 0
    z = 1 + math.exp(-1) + math.exp(-2)
    assert [float(word) for word in place.table("weights")["u1"].split()] == pytest.approx(
        [0.6 + 0.4 / z, 0.4 * math.exp(-1) / z, 0.4 * math.exp(-2) / z]
    )


@pytest.mark.parametrize(
    "needs", [("--select", "wer"), ("--select", "mix"), ("--max_wer", "60"), ("--length_ratio", "9")]
)
def test_utterances_without_reference(place, capsys, needs):
    options = ("--nbest", place.root / "nb", *needs, "--against", place.root / "two")
    assert place.targets(*options) == 1
    error = capsys.readouterr().err
    assert "u3 has no reference" in error and needs[0] in error and "--unreferenced" in error and place.nothing_left()
    assert place.targets(*options, "--unreferenced", "drop") == 0
    assert set(place.table("hyps")) == {"u1", "u2"}
    assert "1 utterances without a reference were left out, as u3" in capsys.readouterr().out
    assert place.targets(*options, "--unreferenced", "posterior", "--min_weight", 0) == 0
    z = 1 + math.exp(-3)
    assert [float(word) for word in place.table("weights")["u3"].split()] == pytest.approx([1 / z, math.exp(-3) / z])
    assert "1 utterances without a reference have targets without one, as u3" in capsys.readouterr().out
    assert place.targets(*options, "--unreferenced", "posterior", "--min_weight", 0.2) == 0
    assert [float(word) for word in place.table("weights")["u3"].split()] == [1.0]  # the other has 0.05


def test_filters_by_reference_and_by_frames(place, capsys):
    assert place.targets("--nbest", place.root / "nb", "--max_wer", 25, "--against", place.root / "said") == 0
    assert place.table("hyps").keys() == {"u1", "u2"} and len(place.table("weights")["u1"].split()) == 2
    told = capsys.readouterr().out
    assert "left out 4 with a WER over 25 %, as u1: A C C C" in told
    assert "1 utterances have no target left, as u3" in told
    assert place.targets("--nbest", place.root / "nb", "--length_ratio", 2, "--against", place.root / "said") == 0
    assert "left out 2 over 2 times longer or shorter than the reference, as u2: B B" in capsys.readouterr().out
    assert place.targets("--nbest", place.root / "nb", "--max_frames", 30) == 0
    assert "left out 3 too short for its audio, as u2: B B" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--nbest"),
        (("--k", 0), "--k 0: expected 1 or more"),
        (("--temperature", 0), "--temperature 0.0"),
        (("--temperature", "inf"), "--temperature inf"),
        (("--temperature", "nan"), "--temperature nan"),
        (("--min_weight", 1.5), "--min_weight 1.5: expected 0 to 1"),
        (("--beta", -1), "--beta -1.0"),
        (("--beta", "inf"), "--beta inf"),
        (("--ref_weight", "nan"), "--ref_weight nan"),
        (("--max_repeat", 1), "--max_repeat 1"),
        (("--max_frames", 2), "--max_frames 2.0: expected more than --min_frames 4.0"),
        (("--length_ratio", 0.5), "--length_ratio 0.5: expected 1 or more"),
        (("--max_wer", -1), "--max_wer -1.0"),
        (("--max_ctc_gap", -1), "--max_ctc_gap -1.0: expected 0 or more"),
        (("--max_disagreement", "nan"), "--max_disagreement nan: expected 0 or more"),
        (("--min_token_score", "nan"), "--min_token_score nan: expected a number, as in -0.5"),
        (("--max_disagreement", 20), "--max_disagreement: needs another system's hypotheses; name its archive"),
        (("--agree", "x"), "--agree: needs a limit; name it (--max_disagreement PERCENT)"),
        (("--agree", "nowhere", "--max_disagreement", 5), "nowhere: no N-best archive"),
        (("--max_ctc_gap", 1), "u1 has no scores of attention and CTC, which --max_ctc_gap needs"),
        (("--select", "wer"), "--select wer: needs references"),
        (("--select", "best"), "--against"),
        (("--select", "mix"), "--against"),
        (("--max_wer", 10), "--max_wer: needs references"),
        (("--length_ratio", 2), "--length_ratio: needs references"),
        (("--against", "nowhere"), "nowhere: no such file"),
        (("--refs", "nowhere"), "nowhere: no such file"),
    ],
)
def test_options_that_cannot_be(place, capsys, options, said):
    nbest = ("--nbest", place.root / "nb") if options else ()
    assert place.targets(*nbest, *options) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and place.nothing_left()


def test_archives_that_do_not_fit(place, capsys):
    place.nbest("again", records()[1])
    assert place.targets("--nbest", place.root / "nb", place.root / "again") == 1
    assert "again: u2 is in another of the archives, too" in capsys.readouterr().err and place.nothing_left()
    write_archive(place.root / "foreign", records(), "0123")
    assert place.targets("--nbest", place.root / "foreign") == 1
    assert "another token list" in capsys.readouterr().err and place.nothing_left()
    assert place.targets("--nbest", place.root / "nb", "--against", place.root / "said", place.text("v", u2="C")) == 1
    assert "u2 has another text in another file of --against" in capsys.readouterr().err and place.nothing_left()


def test_nothing_left_to_train_on_names_an_utterance(place, capsys):
    assert place.targets("--nbest", place.root / "nb", "--min_frames", 200) == 1
    error = capsys.readouterr().err
    assert "no hypothesis is left to train on (too long for its audio, as u1: A B C A" in error and place.nothing_left()
    other = place.text("other", v1="A")
    assert (
        place.targets("--nbest", place.root / "nb", "--max_wer", 5, "--against", other, "--unreferenced", "drop") == 1
    )
    assert "(none has a reference, as u1)" in capsys.readouterr().err and place.nothing_left()


def test_other_things_are_not_overwritten(place, capsys):
    place.out.mkdir()
    (place.out / "model.pth").write_text("weights")
    assert place.targets("--nbest", place.root / "nb") == 1
    assert "holds other things than targets" in capsys.readouterr().err
    assert [path.name for path in place.out.iterdir()] == ["model.pth"]


def test_other_options_make_the_targets_again(place, capsys):
    assert place.targets("--nbest", place.root / "nb") == 0
    before = (place.out / "weights").read_text()
    assert place.targets("--nbest", place.root / "nb", "--select", "topk") == 0
    assert (place.out / "weights").read_text() != before and "made already" not in capsys.readouterr().out
    assert place.targets("--nbest", place.root / "nb", "--select", "wer") == 1
    assert "0.333333333 0.333333333 0.333333333" in (place.out / "weights").read_text()  # a refused run changes nothing


@examples(30)
@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=60))
def test_written_weights_sum_to_one(tmp_path_factory, masses):
    out = tmp_path_factory.mktemp("w") / "targets"
    weights = [mass / sum(masses) for mass in masses]
    write_targets(out, {"u": [Target([3], "A", weight) for weight in weights]}, {"settings": {"tokens": "x"}})
    row = read_table(out / "weights")["u"].split()
    assert abs(sum(map(float, row)) - 1) < 1e-5
    assert abs(float(np.sum(np.array(row, dtype=np.float32))) - 1) < 1e-5
    check_targets(out, "x", 7, {"u": ""})


def test_texts_may_have_tabs_a_mark_and_dos_ends(place):
    refs = place.text("text", u1="AB A", u2="B")
    refs.write_bytes(b"\xef\xbb\xbf" + refs.read_bytes().replace(b"u1 ", b"u1\t").replace(b"\n", b"\r\n"))
    said = place.root / "said"
    said.write_bytes(b"\xef\xbb\xbf" + said.read_bytes().replace(b" ", b"\t", 2).replace(b"\n", b"\r\n"))
    assert place.targets("--refs", refs) == 0
    assert (place.out / "hyps").read_text() == "u1 3 4 2 3\nu2 4\n"
    assert place.targets("--nbest", place.root / "nb", "--against", said, "--select", "best") == 0
    assert place.table("text")["u1"] == "A B C A"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"u1 A\nu2 \xff\n", "text:2: not UTF-8"),
        (b"u1 A\nu2 \0\n", "text:2: holds a NUL byte"),
        (b"u1 A\nu1 A\n", "text:2: u1 is here a second time"),
        (b"u1\n", "text:1: expected 'KEY VALUE'"),
    ],
)
def test_damaged_texts_are_named(place, capsys, content, message):
    (place.root / "text").write_bytes(content)
    for option in ("--refs", "--against"):
        assert place.targets("--nbest", place.root / "nb", option, place.root / "text") == 1
        assert message in capsys.readouterr().err
    assert place.nothing_left()


def test_damaged_settings_of_older_targets_are_made_again(place, capsys):
    refs = place.text("text", u1="AB A", u2="B")
    assert place.targets("--refs", refs) == 0
    (place.out / "targets.json").write_text("{}")
    capsys.readouterr()
    assert place.targets("--refs", refs) == 0
    assert "made already" not in capsys.readouterr().out
    assert "settings" in read_json(place.out / "targets.json")


# an option of `kdasr targets`, and another value of it (None: it may change nothing, or is an input, see below)
OPTIONS = {
    "nbest": None, "refs": None, "against": None, "truth": None, "tokens": None, "out": None,
    "select": "topk", "k": 2, "temperature": 2.0, "min_weight": 0.3, "beta": 1.0, "similarity": "bleu",
    "ref_weight": 0.25, "unreferenced": "drop", "max_repeat": 9, "min_frames": 1.0, "max_frames": 90.0,
    "max_wer": 90.0, "length_ratio": 9.0, "min_token_score": -90.0, "max_ctc_gap": 90.0, "agree": None,
    "max_disagreement": None,
}  # fmt: skip


def with_ctc(found):
    """Records whose CTC scores are half a unit below the decoder's."""
    for hyps in (one["hyps"] for one in found):
        for one in hyps:
            one["scores"]["ctc"] = one["scores"]["decoder"] - 0.5
    return found


def made_anew(place, capsys, *options):
    capsys.readouterr()
    assert place.targets(*options) == 0
    return "made already" not in capsys.readouterr().out


def test_every_option_and_input_makes_other_targets(place, capsys):
    """None is forgotten among the settings that tell whether targets are there already."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert {action.dest for action in parser._actions} - {"help"} == OPTIONS.keys()
    place.nbest("wide", *with_ctc(records()))
    base = ("--nbest", place.root / "wide", "--against", place.root / "said")
    for name, value in OPTIONS.items():
        if value is not None:
            assert made_anew(place, capsys, *base) and not made_anew(place, capsys, *base)
            assert made_anew(place, capsys, *base, f"--{name}", value), name
            assert not made_anew(place, capsys, *base, f"--{name}", value), name
    agree = ("--agree", place.root / "nb", "--max_disagreement")
    assert made_anew(place, capsys, *base, *agree, 90) and not made_anew(place, capsys, *base, *agree, 90)
    assert made_anew(place, capsys, *base, *agree, 80)
    place.nbest("nb2", *records()[:2])
    assert made_anew(place, capsys, *base, "--agree", place.root / "nb2", "--max_disagreement", 80)
    assert made_anew(place, capsys, *base)
    assert made_anew(place, capsys, *base[:2])
    assert made_anew(place, capsys, "--nbest", place.root / "nb", *base[2:])
    refs = place.text("refs", u4="A B")
    assert made_anew(place, capsys, *base, "--refs", refs) and not made_anew(place, capsys, *base, "--refs", refs)
    place.text("refs", u4="A C")
    assert made_anew(place, capsys, *base, "--refs", refs)
    assert place.table("text")["u4"] == "A C"
    place.text("said", u1="A B C A", u2="B B C C", u3="C C")
    assert made_anew(place, capsys, *base, "--refs", refs)
    words = json.loads((place.root / "wide" / "manifest.json").read_text())
    write_json(place.root / "wide" / "manifest.json", {**words, "model": "another"})
    assert made_anew(place, capsys, *base, "--refs", refs)


def test_another_token_list_makes_other_targets(tmp_path, capsys):
    place = Place(tmp_path)
    refs = place.text("text", u1="AB")
    assert made_anew(place, capsys, "--refs", refs) and not made_anew(place, capsys, "--refs", refs)
    for path in (tmp_path / "char").iterdir():
        path.unlink()
    (tmp_path / "char").rmdir()
    write_tokens(tmp_path / "char", [*TOKENS[:3], "B", "A", *TOKENS[5:]])
    assert made_anew(place, capsys, "--refs", refs)
    assert place.table("hyps")["u1"] == "4 3"


def test_what_another_system_hears_otherwise_is_left_out(place, capsys):
    """u1 is heard alike, u2 otherwise in two of four words, u3 by one system only."""
    other = write_archive(
        place.root / "other",
        [record("u1", hyp("A B C A", -8), hyp("C", -9)), record("u2", hyp("B B C C", -9))],
        "another list",
    )
    agree = ("--nbest", place.root / "nb", "--agree", other, "--max_disagreement")
    assert place.targets(*agree, 50) == 0
    assert place.table("text") == {"u1": "A B C A", "u2": "B B"}
    assert place.targets(*agree, 49) == 0
    assert place.table("text") == {"u1": "A B C A"}
    told = capsys.readouterr().out
    assert "  left out 2 that the other system has no hypothesis for, as u3: A\n" in told
    assert "  left out 2 where the other system has over 49 % other words, as u2: B B (the other: B B C C)\n" in told
    found = read_json(place.out / "targets.json")
    assert found["settings"]["max_disagreement"] == 49 and list(found["settings"]["agree"]) == [str(other)]
    assert found["summary"]["dropped"]["where the other system has over 49 % other words"] == 2
    assert place.targets("--nbest", place.root / "nb", "--agree", other, other, "--max_disagreement", 9) == 1
    assert "other: u1 is in another archive of --agree, too" in capsys.readouterr().err


def test_scores_a_token_and_of_two_branches(place, capsys):
    nbest = place.nbest("ctc", *with_ctc(records()))
    assert place.targets("--nbest", nbest, "--min_token_score", -0.25) == 0
    # tokens with blanks and <eos>: u1 8, 8, 8; u2 4, 8 (the loop is left out before); u3 2, 4
    assert place.table("text") == {"u1": "A B C A", "u2": "B B C C"}
    assert place.table("hyp_lens") == {"u1": "7 7", "u2": "7"}
    assert "left out 4 with a score a token under -0.25, as u1: A C C C" in capsys.readouterr().out
    assert place.targets("--nbest", nbest, "--max_ctc_gap", 0.125) == 0
    assert set(place.table("text")) == {"u1", "u2", "u3"}
    told = capsys.readouterr().out
    assert "  left out 1 whose attention and CTC scores differ by over 0.125 a token, as u3: A\n" in told


def test_an_archive_without_scores_has_none_to_offer(place, capsys):
    nbest = place.nbest("nb9", *records())
    write_json(nbest / "manifest.json", {**read_json(nbest / "manifest.json"), "scores": "none"})
    for option in (("--select", "posterior"), ("--select", "topk", "--min_token_score", -1)):
        assert place.targets("--nbest", nbest, *option) == 1
        name = "--select posterior" if len(option) == 2 else "--min_token_score"
        assert f"nb9: has no scores, which {name} needs" in capsys.readouterr().err
    assert place.targets("--nbest", nbest, "--k", 1) == 0
    assert place.targets("--nbest", nbest, "--select", "topk") == 0


def test_archives_and_references_exclude_each_other(place, capsys):
    """An utterance of --refs is passed over in every archive; one that was dropped is still one of its archive."""
    place.nbest("again", records()[1])
    refs = place.text("u2", u2="C")
    assert place.targets("--nbest", place.root / "nb", place.root / "again", "--refs", refs) == 0
    assert place.table("text")["u2"] == "C"
    place.nbest("third", records()[2])
    dropped = ("--max_wer", 90, "--against", place.root / "two", "--unreferenced", "drop")
    assert place.targets("--nbest", place.root / "nb", place.root / "third", *dropped) == 1
    assert "third: u3 is in another of the archives, too" in capsys.readouterr().err


def test_without_reference_topk_stays_topk(place):
    options = ("--select", "topk", "--max_wer", 100, "--against", place.root / "two", "--unreferenced", "posterior")
    assert place.targets("--nbest", place.root / "nb", *options) == 0
    assert place.table("weights")["u3"] == "0.5 0.5"


def test_what_is_light_is_counted_among_the_k_best(place, capsys):
    """u1 has three, of posterior weights 0.67, 0.24, 0.09; u2 two, 0.62 and 0.38; u3 two, 0.95 and 0.05."""
    for options, light in (
        (("--min_weight", 0.1), 2),
        (("--min_weight", 0.5), 4),
        (("--min_weight", 0.5, "--k", 2), 3),
        (("--min_weight", 0.5, "--k", 1), 0),
        (("--select", "topk", "--k", 2, "--min_weight", 0.9), 0),
        (("--select", "best", "--k", 3, "--against", place.root / "said"), 0),
    ):
        assert place.targets("--nbest", place.root / "nb", *options) == 0
        assert read_json(place.out / "targets.json")["summary"]["of_low_weight"] == light, options
        told = capsys.readouterr().out
        assert (f"; {light} of low weight left out" in told) == bool(light)


def test_limits_that_touch(place, capsys):
    for option, bad, good in (("--max_frames", 4, 4.1), ("--length_ratio", 0.99, 1)):
        options = ("--nbest", place.root / "nb", "--against", place.root / "said", option)
        assert place.targets(*options, bad) == 1
        assert "expected" in capsys.readouterr().err and place.nothing_left()
        status = place.targets(*options, good)
        assert status == 0 or "no hypothesis is left" in capsys.readouterr().err


def test_texts_are_of_the_first_of_the_heaviest(tmp_path):
    chosen = {
        "u": [Target([3], "A", 0.25), Target([4], "B", 0.375), Target([5], "C", 0.375)],
        "v": [Target([5], "C", 0.5), Target([4], "B", 0.5)],
    }
    write_targets(tmp_path / "t", chosen, {"settings": {"tokens": "x"}})
    assert read_table(tmp_path / "t" / "text") == {"u": "B", "v": "C"}
    assert read_table(tmp_path / "t" / "weights") == {"u": "0.25 0.375 0.375", "v": "0.5 0.5"}
    third = [Target([3], "A", 1 / 3), Target([4], "B", 2 / 3)]
    write_targets(tmp_path / "t", {"u": third}, {"settings": {"tokens": "x"}})
    assert read_table(tmp_path / "t" / "weights") == {"u": "0.333333333 0.666666667"}


def test_the_report_by_hand():
    """Three utterances: two targets, none, and a reference that is not in the list."""
    hyps = [{"errors": 3}, {"errors": 1}, {"errors": 0}]
    tally, targets = Tally(), [Target([3], "A", 0.25, 0), Target([4], "B", 0.75, 1)]
    tally.choose(targets)
    tally.choose([Target([5], "C", 0.5, -1)] * 2)
    tally.add_errors(hyps, targets, Reference("x", [3], 4), 2)
    tally.add_errors(hyps, [], Reference("x", [3], 10), 3)
    tally.add_errors(hyps, [Target([5], "C", 0.75, -1), Target([4], "B", 0.25, 0)], Reference("x", [3], 6), 1)
    found = measured(tally.errors)
    # of the best 3 + 3 + 3 of 20 words; of k 1 + 0 + 3; of targets 0.25 x 3 + 0.75 x 1, and 0.25 x 3, of 10 words
    assert found == {
        "utterances": 3, "words": 20, "wer_1best": 45.0, "wer_oracle": 20.0, "with_targets": 2, "wer_targets": 22.5
    }  # fmt: skip
    assert tally.summary(Selection(), False)["mean_best_weight"] == 0.625
    assert measured(Tally().errors)["wer_1best"] == 0.0


@pytest.mark.parametrize(
    ("best", "targets", "select", "k", "warned"),
    [
        (2.0, 4.01, "topk", 5, True), (2.0, 4.0, "topk", 5, False), (0.5, 1.5, "topk", 5, False),
        (0.5, 1.51, "topk", 5, True), (0.0, 1.0, "topk", 2, False), (0.0, 1.01, "topk", 2, True),
        (2.0, 9.0, "topk", 1, False), (2.0, 9.0, "posterior", 5, False),
    ],
)  # fmt: skip
def test_when_equal_weights_are_warned_of(best, targets, select, k, warned):
    assert bool(warning({"wer_1best": best, "wer_targets": targets}, Selection(select, k=k))) == warned


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_chunks_of_records_change_nothing(size, monkeypatch):
    """With the references of some of them only."""
    said = {"u1": Reference("A B C A", [], 4), "u3": Reference("C A", [], 2)}
    whole = list(targets_module.with_errors(iter(records()), said, True))
    monkeypatch.setattr(targets_module, "CHUNK", size)
    assert list(targets_module.with_errors(iter(records()), said, True)) == whole
    assert [[hyp.get("errors") for hyp in one["hyps"]] for one in whole] == [[0, 1, 2], [None] * 3, [1, 2, 1]]
    assert [hyp["place"] for one in whole for hyp in one["hyps"]] == [0, 1, 2] * 3


def test_utterances_that_come_in_another_order_are_sorted(tmp_path):
    """As LC_ALL=C does, in each table; training and `kdasr soft` read them side by side."""
    chosen = {key: [Target([place + 2], key.upper(), 1.0)] for place, key in enumerate(["b", "\u00e9", "a", "B"])}
    write_targets(tmp_path / "out", chosen, {})
    for name in ("hyps", "hyp_lens", "weights", "text"):
        keys = [line.split()[0] for line in (tmp_path / "out" / name).read_text().splitlines()]
        assert keys == ["B", "a", "b", "\u00e9"], name
    assert (tmp_path / "out/hyps").read_text() == "B 5\na 4\nb 2\n\u00e9 3\n"
