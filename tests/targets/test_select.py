"""Selections: weights by hand, BLEU against sacrebleu and by hand, and what holds of any input."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.score.count import characters_of, count_errors, words_of
from kdasr.targets.select import (
    Reference,
    Selection,
    by_wer,
    choose,
    mixed,
    nearest,
    posterior,
    sentence_bleu,
    without_light,
)

HYPOTHESES = [
    {"tokens": [2, 3], "text": "AB", "score": -1.0, "place": 0},
    {"tokens": [2], "text": "A", "score": -2.0, "place": 2},
    {"tokens": [3], "text": "B", "score": -4.0, "place": 3},
]


def weights(how, hypotheses=HYPOTHESES, reference=None):
    return [target.weight for target in choose(hypotheses, how, reference)]


def measured(reference, texts):
    """Hypotheses with their errors, as `kdasr targets` gives them to a selection."""
    words, characters = (count_errors([(reference, texts)], units)[0] for units in (words_of, characters_of))
    return [
        {
            "tokens": [ord(char) for char in text],
            "text": text,
            "score": -1.0 * i,
            "place": i,
            "errors": w,
            "characters": c,
        }
        for i, (text, w, c) in enumerate(zip(texts, words, characters, strict=True))
    ]


def reference(text):
    return Reference(text, [ord(char) for char in text], len(text.split()))


def test_posterior_weights_by_hand():
    z = 1 + math.exp(-1) + math.exp(-3)
    assert weights(Selection(min_weight=0)) == pytest.approx([1 / z, math.exp(-1) / z, math.exp(-3) / z])


def test_temperature_flattens():
    assert weights(Selection(temperature=1e6)) == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert weights(Selection(temperature=0.01, min_weight=0)) == pytest.approx([1, 0, 0], abs=1e-6)
    assert weights(Selection(temperature=2, k=2, min_weight=0)) == pytest.approx(
        [1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(0.5))]
    )


def test_topk_is_uniform_and_takes_k():
    assert weights(Selection("topk")) == pytest.approx([1 / 3] * 3)
    targets = choose(HYPOTHESES, Selection("topk", k=2, min_weight=0.9))  # equal weights are wanted: none is too light
    assert [(target.text, target.weight, target.place) for target in targets] == [("AB", 0.5, 0), ("A", 0.5, 2)]


def test_hypotheses_of_low_weight_are_left_out():
    z = 1 + math.exp(-1)  # the third has exp(-3) / (z + exp(-3)) = 0.035
    targets = choose(HYPOTHESES, Selection(min_weight=0.04))
    assert [target.text for target in targets] == ["AB", "A"]
    assert [target.weight for target in targets] == pytest.approx([1 / z, math.exp(-1) / z])
    assert len(weights(Selection(min_weight=0.03))) == 3
    assert weights(Selection(min_weight=1.0)) == [1.0]


def test_scores_of_long_hypotheses_do_not_underflow():
    assert posterior([-5000.0, -5001.0], 1.0)[0] == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize("select", ["posterior", "mix"])
def test_a_score_that_is_no_number_is_refused(select):
    bad = [{"tokens": [2, 3], "text": "AB", "score": float("nan"), "place": 0}]
    with pytest.raises(UserError, match="'AB'"):
        choose(bad, Selection(select), reference("AB"))


def test_wer_weights_by_hand():
    # 0, 1 and 2 errors in 4 words: exp(-10 * 0), exp(-2.5), exp(-5)
    z = 1 + math.exp(-2.5) + math.exp(-5)
    assert by_wer([0, 1, 2], 4, 10) == pytest.approx([1 / z, math.exp(-2.5) / z, math.exp(-5) / z])
    assert by_wer([3, 1, 2], 4, 0) == pytest.approx([1 / 3] * 3)
    assert by_wer([0, 1], 0, math.log(4)) == pytest.approx([0.8, 0.2])  # an empty reference counts as one word
    assert by_wer([10**6, 10**6 + 4], 4, math.log(4)) == pytest.approx([0.8, 0.2])
    hyps = measured("A B C A", ["A B C B", "A B C A", "A C C B", "B"])
    # errors 1, 0, 2, 3: the last has exp(-7.5) of a sum near 1.09, which is less than 0.02
    assert weights(Selection("wer", min_weight=0), hyps, reference("A B C A"))[3] == pytest.approx(
        math.exp(-7.5) / (z + math.exp(-7.5))
    )
    chosen = choose(hyps, Selection("wer", min_weight=0.002), reference("A B C A"))
    assert [target.place for target in chosen] == [0, 1, 2]
    assert [target.weight for target in chosen] == pytest.approx([math.exp(-2.5) / z, 1 / z, math.exp(-5) / z])


def test_errors_are_counted_as_sclite_does():
    # neither the case of ASCII letters nor one final asterisk counts
    pairs = [("A b C", ["a B* c", "A C", ""]), ("x y z", ["y z w"]), ("q", [])]
    assert count_errors(pairs) == [[0, 1, 3], [2], []]
    assert count_errors([("ab cd", ["AB CD", "abc d", "ab"])], characters_of) == [[0, 2, 3]]
    assert characters_of("É a") == ["É", " ", "a"]  # only ASCII is lowered


def test_the_nearest_by_errors_and_its_ties():
    texts = ["THE CAT SIT", "THE CAT SATT", "A CAT SAT"]  # one word error each; 1, 1 and 3 characters
    hyps = measured("THE CAT SAT", texts)
    assert [hyp["errors"] for hyp in hyps] == [1, 1, 1] and [hyp["characters"] for hyp in hyps] == [1, 1, 3]
    assert nearest(hyps, "THE CAT SAT", "errors") == 0  # equal in both: the better score
    assert nearest(hyps[::-1], "THE CAT SAT", "errors") == 1
    target = choose(measured("THE CAT SAT", [*texts, "THE CAT SAT"]), Selection("best"), reference("THE CAT SAT"))
    assert [(one.text, one.weight, one.place) for one in target] == [("THE CAT SAT", 1.0, 3)]
    # beyond k it is not looked at
    assert choose(hyps[2:] + hyps[:2], Selection("best", k=1), reference("THE CAT SAT"))[0].text == "A CAT SAT"


def test_bleu_and_errors_can_disagree():
    said = "a b c d e f g h"
    texts = ["a x c d x f g x", "a b c d x y z w"]  # three errors spread out, or four in a row
    hyps = measured(said, texts)
    assert [hyp["errors"] for hyp in hyps] == [3, 4]
    assert nearest(hyps, said, "errors") == 0 and nearest(hyps, said, "bleu") == 1
    for similarity, place in (("errors", 0), ("bleu", 1)):
        assert [t.place for t in choose(hyps, Selection("best", similarity=similarity), reference(said))] == [place]


def test_bleu_by_hand():
    # 1-grams 4 of 5, 2-grams 2 of 4, 3-grams 1 of 3, 4-grams none of 2: smoothed to a half; as long as the reference
    assert sentence_bleu("a b c x e", "a b c d e") == pytest.approx(
        100 * (4 / 5 * 2 / 4 * 1 / 3 * (1 / 2) / 2) ** (1 / 4)
    )
    # two words have no 3-grams (effective order 2), and are shorter than the reference: exp(1 - 4 / 2)
    assert sentence_bleu("a b", "a b c d") == pytest.approx(100 * math.exp(1 - 4 / 2))
    # no 2-gram: a half of one; no 3-gram: a quarter of one
    assert sentence_bleu("b a x", "a b c") == pytest.approx(100 * (2 / 3 * (1 / 2) / 2 * (1 / 4) / 1) ** (1 / 3))
    assert sentence_bleu("", "a b") == 0.0
    assert sentence_bleu("A B* C", "a b c") == pytest.approx(100)


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d."]), min_size=1, max_size=9).map(" ".join)


@given(WORDS, WORDS)
def test_bleu_is_sacrebleus(hyp, ref):
    import sacrebleu

    theirs = sacrebleu.sentence_bleu(hyp, [ref], smooth_method="exp", use_effective_order=True, tokenize="none")
    assert sentence_bleu(hyp, ref) == theirs.score


def test_a_missing_sacrebleu_is_one_sentence(monkeypatch):
    import sys

    from kdasr.targets import select

    select._bleu.cache_clear()
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(UserError, match="pip install sacrebleu"):
        sentence_bleu("a", "a")


def test_mix_by_hand():
    said = Reference("A", [2], 1)
    z = 1 + math.exp(-1) + math.exp(-3)
    targets = choose(HYPOTHESES, Selection("mix", ref_weight=0.6, min_weight=0), said)
    assert [(target.text, target.place) for target in targets] == [("A", 2), ("AB", 0), ("B", 3)]
    assert [target.weight for target in targets] == pytest.approx(
        [0.6 + 0.4 * math.exp(-1) / z, 0.4 / z, 0.4 * math.exp(-3) / z]
    )
    other = choose(HYPOTHESES, Selection("mix", ref_weight=0.6, min_weight=0), Reference("C", [4], 1))
    assert [target.text for target in other] == ["C", "AB", "A", "B"] and other[0].place == -1
    assert [target.weight for target in other] == pytest.approx(
        [0.6, 0.4 / z, 0.4 * math.exp(-1) / z, 0.4 * math.exp(-3) / z]
    )


def test_mix_at_its_ends():
    said = Reference("C", [4], 1)
    assert [(target.text, target.weight) for target in mixed(said, [], 0.25)] == [("C", 1.0)]
    assert [(target.text, target.weight) for target in choose([], Selection("mix"), said)] == [("C", 1.0)]
    assert [target.text for target in choose(HYPOTHESES, Selection("mix", ref_weight=1.0), said)] == ["C"]
    assert [target.text for target in choose(HYPOTHESES, Selection("mix", ref_weight=0.0), said)] == ["AB", "A", "B"]


def test_light_weights():
    assert without_light([0.5, 0.3, 0.2], 0.25) == pytest.approx([0.625, 0.375, 0])
    assert without_light([0.4, 0.4, 0.2], 1.0) == pytest.approx([0.5, 0.5, 0])
    assert without_light([], 0.5) == []


SCORES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8)
POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False)
SHARE = st.floats(0, 1)


def is_distribution(values):
    return all(value >= 0 for value in values) and sum(values) == pytest.approx(1, abs=1e-9)


@given(SCORES, POSITIVE, SHARE)
def test_posterior_is_a_distribution(scores, temperature, least):
    found = posterior(scores, temperature)
    assert is_distribution(found) and max(found) == found[scores.index(max(scores))]
    assert is_distribution(without_light(found, least))


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=8), st.integers(0, 10**6), st.floats(0, allow_infinity=False)
)
def test_wer_weights_are_a_distribution_that_falls_with_errors(errors, words, beta):
    found = by_wer(errors, words, beta)
    assert is_distribution(found)
    ordered = [weight for _, weight in sorted(zip(errors, found, strict=True), key=lambda pair: pair[0])]
    assert ordered == sorted(ordered, reverse=True)


HYPS = st.lists(st.tuples(SCORES.map(min), st.integers(0, 50)), min_size=1, max_size=8).map(
    lambda pairs: [
        {"tokens": [3 + i], "text": "ABCDEFGH"[i], "score": score, "place": i, "errors": errors, "characters": errors}
        for i, (score, errors) in enumerate(pairs)
    ]
)


@given(
    HYPS,
    st.sampled_from(["topk", "posterior", "wer", "best", "mix"]),
    st.integers(1, 9),
    POSITIVE,
    SHARE,
    st.floats(0, allow_infinity=False),
    SHARE,
    st.integers(3, 12),
)
def test_any_choice_sums_to_one(hyps, select, k, temperature, least, beta, ref_weight, token):
    how = Selection(select, k, temperature, least, beta, "errors", ref_weight)
    targets = choose(hyps, how, Reference("X", [token], 7))
    assert is_distribution([target.weight for target in targets])
    assert all(target.weight > 0 for target in targets)
    places = [target.place for target in targets if target.place >= 0]
    assert len(set(places)) == len(places) and set(places) <= set(range(k))
    assert all(target.tokens == hyps[target.place]["tokens"] for target in targets if target.place >= 0)


@given(HYPS, st.sampled_from(["topk", "wer", "posterior"]), st.randoms(use_true_random=False))
def test_the_order_of_hypotheses_does_not_matter(hyps, select, random):
    how = Selection(select, k=9)
    shuffled = random.sample(hyps, len(hyps))

    def by_place(hypotheses):
        return {target.place: target.weight for target in choose(hypotheses, how, reference("A B C"))}

    assert by_place(shuffled) == pytest.approx(by_place(hyps))


def test_words_are_cut_at_plain_white_space():
    assert words_of(" a\tb  c\u00a0d \u3000") == [b"a", b"b", "c\u00a0d".encode(), "\u3000".encode()]


def plainly(hyps, how, said):
    """Place -> weight by the definitions, in another way than the code: without shifting, over exact fractions."""
    k = hyps[: how.k]
    if how.select == "best":
        order = sorted(range(len(k)), key=lambda n: (k[n]["errors"], k[n]["characters"], n))
        return {k[order[0]]["place"]: 1}
    masses = {
        "topk": lambda hyp: Fraction(1),
        "posterior": lambda hyp: Fraction(math.exp(hyp["score"] / how.temperature)),
        "mix": lambda hyp: Fraction(math.exp(hyp["score"] / how.temperature)),
        "wer": lambda hyp: Fraction(math.exp(-how.beta * hyp["errors"] / max(said.words, 1))),
    }[how.select]
    weights = {hyp["place"]: masses(hyp) / sum(map(masses, k)) for hyp in k}
    if how.select != "topk":
        least = min(Fraction(how.min_weight), max(weights.values()))
        weights = {place: weight for place, weight in weights.items() if weight >= least}
    weights = {place: weight / sum(weights.values()) for place, weight in weights.items()}
    if how.select != "mix":
        return weights
    share = 1 - Fraction(how.ref_weight) if weights else 0
    mixed = {place: share * weight for place, weight in weights.items()}
    same = [hyp["place"] for hyp in k if hyp["tokens"] == list(said.tokens) and hyp["place"] in mixed]
    first = same[0] if same else -1
    total = 1 - share + sum(mixed.pop(place) for place in same)
    return {place: weight for place, weight in {first: total, **mixed}.items() if weight}


@examples(200)
@given(
    # few values, so that scores, errors and tokens are often equal
    st.lists(
        st.tuples(st.sampled_from([-3.0, -1.0, -0.5, 0.0]), st.integers(0, 3), st.integers(0, 2), st.integers(2, 5)),
        min_size=1, max_size=7,
    ),
    st.sampled_from(["topk", "posterior", "wer", "best", "mix"]),
    st.integers(1, 8),
    st.sampled_from([0.5, 1.0, 3.0]),
    st.sampled_from([0.0, 0.02, 0.13, 0.3, 1.0]),
    st.sampled_from([0.0, 1.0, 10.0]),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.integers(0, 6),
    st.lists(st.integers(0, 20), min_size=7, max_size=7, unique=True),
)  # fmt: skip
def test_any_choice_is_the_definitions(rows, select, k, temperature, least, beta, ref_weight, words, places):
    hyps = [
        {"tokens": [token], "text": "ABCD"[token - 2], "score": score, "errors": errors, "characters": characters,
         "place": place}
        for (score, errors, characters, token), place in zip(rows, sorted(places), strict=False)
    ]  # fmt: skip
    how, said = Selection(select, k, temperature, least, beta, "errors", ref_weight), Reference("A", [2], words)
    expected = plainly(hyps, how, said)
    targets = choose(hyps, how, said)
    assert {target.place: target.weight for target in targets} == pytest.approx(expected, abs=1e-9)
    assert len(targets) == len(expected)
    if select != "mix":  # in the archive's order
        assert [target.place for target in targets] == sorted(expected)
    elif ref_weight > 0:  # the reference first
        assert (targets[0].text, targets[0].tokens) == ("A", [2])


def test_a_weight_of_exactly_the_least_stays():
    assert without_light([0.5, 0.25, 0.25], 0.25) == [0.5, 0.25, 0.25]
    assert without_light([0.5, 0.25, 0.25], 0.2500001) == [1, 0, 0]
    assert without_light([0.25] * 4, 0.25) == without_light([0.25] * 4, 0.9) == [0.25] * 4
    equal = [{**HYPOTHESES[0], "score": -2.0, "place": place, "errors": 3} for place in range(4)]
    for select in ("posterior", "wer"):
        for least in (0.0, 0.25, 0.26, 1.0):  # of equal ones none is lighter than the heaviest
            assert weights(Selection(select, min_weight=least), equal, Reference("X", [9], 5)) == [0.25] * 4


def test_weights_are_of_the_k_best_alone():
    """What stands behind the k-th changes nothing, whatever it is."""
    bad = {"tokens": [9], "text": "Z", "score": 50.0, "place": 7, "errors": 0, "characters": 0}
    hyps = [{**hyp, "errors": n, "characters": n} for n, hyp in enumerate(HYPOTHESES, 1)]
    for select in ("topk", "posterior", "wer", "best", "mix"):
        for k in (1, 2, 3):
            how = Selection(select, k=k, min_weight=0)
            assert (
                choose([*hyps, bad], how, Reference("Z", [9], 3))[1:]
                == choose(hyps[:k], how, Reference("Z", [9], 3))[1:]
            )
            assert choose([*hyps[:k], bad], how, Reference("Y", [8], 3)) == choose(
                hyps[:k], how, Reference("Y", [8], 3)
            )


def test_a_reference_is_merged_by_its_tokens():
    """A text may be spelled in several ways, and the same tokens are the same target."""
    said = Reference("AB", [2, 3], 1)
    hyps = [
        {"tokens": [5, 3], "text": "AB", "score": 0.0, "place": 0},
        {"tokens": (2, 3), "text": "ab", "score": 0.0, "place": 4},
    ]
    targets = choose(hyps, Selection("mix", ref_weight=0.5), said)
    assert [(target.text, list(target.tokens), target.weight, target.place) for target in targets] == [
        ("AB", [2, 3], 0.75, 4), ("AB", [5, 3], 0.25, 0)
    ]  # fmt: skip


def test_the_defaults_are_those_that_are_documented():
    assert Selection() == ("posterior", 5, 1.0, 0.02, 10.0, "errors", 0.5)


@given(st.lists(st.tuples(WORDS, st.lists(st.just("") | WORDS, max_size=4)), max_size=5))
def test_errors_of_several_utterances_are_those_of_each(pairs):
    assert count_errors(pairs) == [[count_errors([(ref, [hyp])])[0][0] for hyp in hyps] for ref, hyps in pairs]
