import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.score.align import Counts, align, align_all, align_words, count, normal, numbered, pair, tally, total


def test_hand_computed_alignments():
    # 3 deletions + 3 insertions cost 18, five substitutions 20: sclite counts more errors than Levenshtein's 5.
    assert "".join(op for op, *_ in align(["a", "b", "c", "d", "e"], ["d", "e", "x", "y", "z"])) == "DDDCCIII"
    assert align(["the", "quick", "fox"], ["the", "box", "now"]) == [
        ("C", "the", "the"),
        ("S", "quick", "box"),
        ("S", "fox", "now"),
    ]
    assert align(["a"], []) == [("D", "a", "")]
    assert align([], ["b", "c"]) == [("I", "", "b"), ("I", "", "c")]
    assert align([], []) == []


def test_ties_prefer_substitution_then_insertion_as_read_from_the_end():
    # ref a b, hyp b: either D C; cost 3 both from "a b" -> "b". With hyp c: D S or S D cost 7; from the end, S first.
    assert align_all([list("ab")], [list("c")]) == ["DS"]
    assert align_all([list("a")], [list("cd")]) == ["IS"]
    # "ab" -> "ba": insert b, keep a, delete b (6), or the mirror image (6); from the end insertion comes before
    # deletion, so the last step is the insertion of a.
    assert align_all([list("ab")], [list("ba")]) == ["DCI"]


def test_case_and_final_asterisk_follow_sclite():
    assert [op for op, *_ in align(["The", "x*", "*", "É"], ["THE", "x", "*", "é"])] == ["C", "C", "C", "S"]
    assert [op for op, *_ in align(["The"], ["THE"], case_sensitive=True)] == ["S"]
    assert normal("y**") == b"y*"


def test_counts_add_up():
    one, two = count("CSDI"), count("CC")
    assert one == Counts(1, 1, 1, 1, 1, 1)
    assert total([one, two]) == tally(["CSDI", "CC"]) == Counts(3, 1, 1, 1, 2, 1)
    assert (one.words, one.errors, one.wer, one.ser) == (3, 3, 100.0, 100.0)
    assert Counts().wer == Counts().ser == 0.0
    assert Counts(ins=2, sentences=1, wrong_sentences=1).wer == 0.0  # of no word there is no rate
    ends = {"": 0, "C": 0, "CC": 0, "I": 1, "CI": 1, "CD": 1, "S": 1, "ICCI": 1}
    assert {one: count(one).wrong_sentences for one in ends} == ends
    assert tally(list(ends)).wrong_sentences == total(map(count, ends)).wrong_sentences == 5
    many = Counts(cor=70, sub=16, del_=8, ins=4, sentences=10, wrong_sentences=7)
    assert (many.words, many.errors) == (94, 28)
    assert (many.wer, many.ser) == (pytest.approx(100 * 28 / 94), 70.0)


spellings = st.sampled_from([["a", "A", "b", "É", "é", "*", "日"], ["a", "Ab", "aB", "x*", "x", "", "**", "*"]])
texts = spellings.flatmap(lambda known: st.lists(st.tuples(*[st.lists(st.sampled_from(known), max_size=9)] * 2)))


@given(texts, st.booleans())
def test_words_and_characters_are_compared_in_their_normal_form(pairs, case_sensitive):
    refs, hyps = ([two[side] for two in pairs] for side in (0, 1))
    keys = [[[normal(word, case_sensitive) for word in text] for text in side] for side in (refs, hyps)]
    assert align_words(refs, hyps, case_sensitive) == align_all(*keys)
    ids, forms = numbered([*refs, *hyps], case_sensitive)
    assert [forms[number] for number in ids] == [key for side in keys for text in side for key in text]


def cost(operations):
    return sum({"C": 0, "S": 4, "D": 3, "I": 3}[letter] for letter in operations)


def least_cost(ref, hyp):
    row = [3 * j for j in range(len(hyp) + 1)]
    for word in ref:
        after = [row[0] + 3]
        for j, other in enumerate(hyp):
            after.append(min(row[j] + 4 * (word != other), row[j + 1] + 3, after[j] + 3))
        row = after
    return row[-1]


words = st.lists(st.sampled_from("abcd"), max_size=9)


@examples(100)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=8))
def test_paths_are_valid_and_cheapest_and_the_batch_equals_the_single(pairs):
    refs, hyps = [list(side) for side in zip(*pairs, strict=True)]
    together = align_all(refs, hyps)
    for ref, hyp, operations in zip(refs, hyps, together, strict=True):
        steps = pair(operations, ref, hyp)
        assert [left for op, left, _ in steps if op != "I"] == ref
        assert [right for op, _, right in steps if op != "D"] == hyp
        assert all((left == right) == (op == "C") for op, left, right in steps if op in "CS")
        assert cost(operations) == least_cost(ref, hyp)
        assert align_all([ref], [hyp]) == [operations]


@examples(100)
@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=8), words)
def test_errors_are_never_below_jiwers_and_equal_when_they_need_no_trade(ref, hyp):
    ours = count(align_all([ref], [hyp])[0])
    theirs = jiwer.process_words(" ".join(ref), " ".join(hyp))
    least = theirs.substitutions + theirs.deletions + theirs.insertions
    assert ours.errors >= least
    assert ours.words == len(ref) and ours.words - ours.del_ + ours.ins == len(hyp)
    # 4S + 3(D + I) of ours is minimal, so theirs costs at least as much.
    assert cost("S" * theirs.substitutions + "D" * (theirs.deletions + theirs.insertions)) >= 4 * ours.sub + 3 * (
        ours.del_ + ours.ins
    )
    if hyp == ref:
        assert ours.errors == least == 0


def test_long_and_short_utterances_share_batches_without_harm(monkeypatch):
    refs = [list("abcabc") * k for k in range(12)]
    hyps = [list("abdac") * k for k in range(12)]
    whole = align_all(refs, hyps)
    monkeypatch.setattr("kdasr.score.align.CELLS", 50)
    assert align_all(refs, hyps) == whole


def test_gains_of_long_alignments_do_not_overflow():
    """Each match gains 3: of so many words the sum is just beyond what 16 bits hold."""
    words = 10_930
    assert 3 * words > 2**15
    assert align_all([["a"] * words], [["a"] * words]) == ["C" * words]


@pytest.mark.parametrize("words", [127, 128, 254, 255, 256, 257])
def test_every_number_of_different_words_is_told_apart(words):
    """Words are compared as numbers of no more bytes than need be: none may be taken for another one or for none."""
    vocabulary = [f"w{number}" for number in range(words)]
    refs = [vocabulary[start : start + 50] for start in range(0, words, 50)]
    assert len(refs) > 2
    hyps = [[*ref[1:], "other"] for ref in refs]
    assert align_words(refs, refs) == align_all(refs, refs) == ["C" * len(ref) for ref in refs]
    assert set(align_words(refs, hyps)) == {"D" + "C" * (len(ref) - 1) + "I" for ref in refs}


@pytest.mark.parametrize(("words", "apart"), [(600, 128), (600, 256), (600, 512), (66_000, 2**15), (66_000, 2**16)])
def test_words_whose_numbers_are_far_apart_are_not_the_same(words, apart):
    """As they would be in numbers of too few bytes."""
    refs = [[f"w{number}" for number in range(start, start + 50)] for start in range(0, words, 50)]
    hyps = [[f"w{(number + apart) % words}" for number in range(start, start + 50)] for start in range(0, words, 50)]
    assert align_words(refs, hyps) == align_all(refs, hyps) == ["S" * 50] * (words // 50)
