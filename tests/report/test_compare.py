"""Against the student on references, by hand and at random: who is compared with whom, and what is made of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import facts
from properties import examples

from kdasr.report import collect, compare, headline, overview
from kdasr.report.compare import Against, against_references, share
from kdasr.score import intervals
from kdasr.score.intervals import Paired, paired, seeds_apart

KEY = "beam", "test"


def scored(errors, words, tag="beam", name="test", signature="s", **more):
    """A set that was decoded: errors (all substitutions) and reference words of its utterances."""
    counts = {"sentences": len(errors), "wrong_sentences": sum(map(bool, errors)), "del": 0, "ins": 0}
    counts |= {"words": sum(words), "cor": sum(words) - sum(errors), "sub": sum(errors), "errors": sum(errors)}
    wer = {"wer": 100 * sum(errors) / sum(words), "signature": signature, "counts": counts}
    utterances = {f"u{k}": pair for k, pair in enumerate(zip(errors, words, strict=True))}
    return collect.Scored(tag, name, more, wer | {"interval95": [0.0, 99.0]}, {}, utterances)


def system(name, label, *sets, role="student", teacher="teacher", parameters=100, **info):
    """A model that decoded these sets."""
    info = {"label": label, "role": role, **facts(label, role), "teacher": teacher, "seed": 1, **info}
    info["parameters"] = parameters
    return collect.System(name, info, (parameters or 0) * 4, {(one.tag, one.set): one for one in sets})


def runs(name, label, rows, words, **info):
    """A label's seeds, from 1 on."""
    return [
        system(f"{name}{seed}", label, scored(errors, words), seed=seed, **info) for seed, errors in enumerate(rows, 1)
    ]


def teachers(rows, words, label="teacher"):
    names = ["teacher", *(f"teacher@{k}" for k in range(1, len(rows)))]
    return [
        system(name, label, scored(errors, words), role="teacher", teacher=None, parameters=1000)
        for name, errors in zip(names, rows, strict=True)
    ]


@pytest.mark.parametrize(
    ("base", "theirs", "apart", "wanted"),
    [
        (10.0, [5.0], None, (0.4, 0.2, 0.6)),  # of 5 points 2 are made up for
        (10.0, [5.0], (-4.0, 1.0), (0.4, -0.2, 0.8)),
        (10.0, [4.0, 8.0], None, (0.5, 0.25, 0.75)),
        (10.0, [9.0], None, (2.0, 1.0, 3.0)),  # exactly the least gap
        (10.0, [9.001], None, None),
        (10.0, [9.999], None, None),
        (10.0, [10.0], None, None),
        (10.0, [10.001], None, None),
        (10.0, [11.0], None, None),  # the teacher is worse: there is nothing to close
        (10.0, [30.0], (-4.0, 1.0), None),
        (10.0, [], None, None),
    ],
)
def test_a_share_needs_a_gap(base, theirs, apart, wanted):
    found = compare._gap(Paired(-2.0, -3.0, -1.0, 0.01), apart, base, theirs)
    assert found == (wanted and pytest.approx(wanted))
    assert share(found) == (f"{wanted[0]:.2f} [{wanted[1]:.2f}, {wanted[2]:.2f}]" if wanted else "-")


@pytest.mark.parametrize("teacher", [[5, 5, 5, 4], [5, 5, 5, 5], [6, 5, 5, 5], [9, 9, 9, 9]])
def test_where_the_gap_is_nearly_nothing_no_page_tells_a_share(teacher):
    """A set of 1,000 words: an error is 0.1 points, and the teacher is a little better, alike, or worse."""
    words = [250] * 4
    every = teachers([teacher], words)
    every += runs("ref", "student on references", [[5, 5, 5, 5]] * 2, words)
    every += runs("kd", "student on 5-best", [[4, 5, 5, 4], [4, 4, 5, 5]], words)
    found = against_references(every)
    assert [one.gap for one in found] == [None]
    assert compare.comparison(found)[1][-1] == "-"
    head, *rows = compare.summary_table(every, found)
    assert head[-1] == "gap closed, test beam" and {row[-1] for row in rows} == {"-"}
    shown = headline.headline(every, found)
    assert [one.answer for one in shown.answers if one.question == "How good?"] == ["1.80 % WER"]
    assert "gap" not in " ".join([shown.sentence, *(one.told for one in shown.answers), *shown.cautions])
    assert "gap closed" not in [column.title for column in overview.overview(every, found)[0]]


ENDS = [(-2.0, -1.0), (-1.0, 0.0), (0.0, 0.0), (-1.0, 1.0), (0.0, 1.0), (1.0, 2.0)]


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("apart", [None, *ENDS])
def test_beyond_noise_is_what_neither_interval_holds_zero_of(ends, apart):
    away = {(-2.0, -1.0), (1.0, 2.0)}
    one = Against(("x",), "x", "test", "beam", Paired(sum(ends) / 2, *ends, 0.5), apart)
    assert one.beyond_noise == (ends in away and (apart is None or apart in away))
    assert compare.comparison([one])[1][-2] == (
        "no" if not one.beyond_noise else "yes" if apart is not None else "yes (one seed)"
    )
    assert not Against(("x",), "x", "test", "beam", None, apart).beyond_noise


def test_a_row_of_the_comparison_by_hand():
    one = Against(("x",), "x", "test", "beam", Paired(-1.5, -2.25, -0.5, 0.0123), (-3.0, 0.25), (0.5, 0.125, 0.875))
    assert compare.comparison([one])[1] == [
        "x", "test", "beam", "-1.50", "-2.25 to -0.50", "0.0123", "-3.00 to +0.25", "no", "0.50 [0.12, 0.88]",
    ]  # fmt: skip


@pytest.mark.parametrize("rows", [[[1, 2, 3, 0]], [[1, 2, 3, 0]] * 2, [[1, 2, 3, 0], [0, 2, 5, 1], [3, 3, 3, 3]]])
def test_two_equal_systems_are_not_beyond_noise(rows):
    words = [5, 6, 7, 8]
    every = teachers([[0, 0, 1, 0]], words)
    every += runs("ref", "student on references", rows, words) + runs("kd", "student on 5-best", rows, words)
    (one,) = against_references(every)
    assert one.result == Paired(0.0, 0.0, 0.0, 1.0) and not one.beyond_noise
    row = compare.comparison([one])[1]
    assert row[3:6] == ["+0.00", "+0.00 to +0.00", "1.0000"] and row[7] == "no"
    assert row[8].startswith(("0.00 ", "-0.00 "))
    _, lines = overview.overview(every, [one])
    assert any(cell.below.endswith(" noise") for line in lines for cell in line.cells)
    cautions = headline.headline(every, [one]).cautions
    assert "Its difference from the student on references is not beyond noise." in cautions


def test_what_was_scored_otherwise_is_not_compared_whichever_run_it_is():
    words, other = [5, 6, 7], [5, 7, 7]
    teacher = teachers([[0, 0, 0]], words)
    rows = [[1, 2, 3], [2, 2, 2]]
    good = runs("ref", "student on references", rows, words), runs("kd", "student on 5-best", rows, words)
    assert against_references([*teacher, *good[0], *good[1]])[0].result is not None
    odd = {
        "rules": scored([1, 2, 3], words, signature="other"),
        "references of other lengths": scored([1, 2, 3], other),
        "utterances": scored([1, 2], words[:2]),
    }
    for why, one in odd.items():
        for side in (0, 1):
            for run in (0, 1):
                sides = [list(members) for members in good]
                whose = sides[side][run]
                sides[side][run] = system(whose.name, whose.label, one, seed=run + 1)
                (found,) = against_references([*teacher, *sides[0], *sides[1]])
                assert found.result is None and found.gap is None and not found.beyond_noise, why
                assert compare.comparison([found])[1][3:] == ["-"] * 4 + ["other utterances or signature", "-"]


def test_keys_are_not_mixed_up():
    """Two sets and two searches, each with its own figures; only some seeds have beam search."""
    rates = {("greedy", "a"): 8, ("beam", "a"): 6, ("greedy", "b"): 4, ("beam", "b"): 2}  # percent of the teacher

    def decoded(name, label, more, keys=tuple(rates), **info):
        sets = [scored([rates[key] + more] * 2, [100, 100], *key) for key in keys]
        return system(name, label, *sets, **info)

    every = [decoded("teacher", "big", 0, role="teacher", teacher=None, parameters=1000)]
    greedy = [key for key in rates if key[0] == "greedy"]
    every += [decoded("ref1", "on references", 20), decoded("ref2", "on references", 22, greedy, seed=2)]
    every += [decoded("kd1", "taught", 5), decoded("kd2", "taught", 8, seed=2), decoded("kd3", "taught", 5, greedy)]
    every[-1].info["seed"] = 10
    found = against_references(every)
    order = [("a", "greedy"), ("a", "beam"), ("b", "greedy"), ("b", "beam")]
    assert [(one.label, one.set, one.tag) for one in found] == [("taught", *key) for key in order]
    assert [row[:3] for row in compare.comparison(found)[1:]] == [["taught", *key] for key in order]
    gaps = {(one.set, one.tag): one.gap[0] for one in found}
    assert gaps == {
        ("a", "greedy"): pytest.approx(15 / 21),
        ("b", "greedy"): pytest.approx(15 / 21),
        ("a", "beam"): pytest.approx(13.5 / 20),
        ("b", "beam"): pytest.approx(13.5 / 20),
    }
    assert compare.summary_table(every, found) == [
        ["system", "runs", "parameters", "of teacher", "a greedy", "a beam", "b greedy", "b beam",
         "gap closed, a beam", "gap closed, b beam"],
        ["big", "1", "1,000", "1", "8.00", "6.00", "4.00", "2.00", "-", "-"],
        ["on references", "2", "100", "1/10.0", "29.00 ± 1.41", "26.00", "25.00 ± 1.41", "22.00", "-", "-"],
        ["taught", "3", "100", "1/10.0", "14.00 ± 1.73", "12.50 ± 2.12", "10.00 ± 1.73", "8.50 ± 2.12",
         share(next(one.gap for one in found if (one.set, one.tag) == ("a", "beam"))),
         share(next(one.gap for one in found if (one.set, one.tag) == ("b", "beam")))],
    ]  # fmt: skip
    table = {tuple(row[:3]): row[3:] for row in compare.seed_table(every)[1:]}
    assert table["taught", "a", "greedy"][2] == "1: 13.00, 2: 16.00, 10: 13.00"
    assert table["taught", "b", "beam"] == ["8.50 ± 2.12", "-10.56 to 27.56", "1: 7.00, 2: 10.00"]
    assert table["on references", "b", "beam"] == ["22.00", "-", "1: 22.00"]
    assert list(table) == [(label, *key) for label in ("on references", "taught") for key in order]


def test_runs_of_a_label_are_those_of_its_most_decoded_set():
    sets = scored([1], [2], "greedy", "a"), scored([1], [2], "beam", "a"), scored([1], [2], "greedy", "b")
    every = [system("x1", "x", *sets[:2]), system("x2", "x", sets[1], seed=2), system("x3", "x", sets[1], seed=3)]
    every += [system("y1", "y", sets[0]), system("y2", "y", sets[2], seed=2), system("z", "z")]
    assert [row[:2] for row in compare.summary_table(every, [])[1:]] == [["x", "3"], ["y", "1"]]


def test_modes_are_of_their_own_set_and_search():
    every = [
        system(
            f"m{seed}",
            "student",
            scored([10 + seed, 0], [50, 50], "greedy", "a"),
            scored([4 * seed, 0], [50, 50], "beam", "a", mode_probability=0.125 * seed),
            scored([1, 0], [50, 50], "beam", "b", mode_probability=0.5),
            seed=seed,
        )
        for seed in (1, 2)
    ]
    for seed, one in enumerate(every, 1):
        one.ppl.update(a={"ppl": 2.0 * seed}, b={"ppl": 7.0}, c={"ppl": 9.0})
    assert compare.mode_table(every)[1:] == [
        # 11 less 4 and 12 less 8 points
        ["student", "a", "beam", "11.50 ± 0.71", "6.00 ± 2.83", "5.50 ± 2.12", "3.00 ± 1.41", "18.75 ± 8.84"],
        ["student", "b", "beam", "-", "1.00 ± 0.00", "-", "7.00 ± 0.00", "50.00 ± 0.00"],
        ["student", "c", "greedy", "-", "-", "-", "9.00 ± 0.00", "-"],
    ]


def test_no_error_is_a_rate_and_no_seed_is_a_run():
    words = [5, 5]
    every = teachers([[0, 0]], words)
    every += [system(f"ref{seed}", "on references", scored([1, 1], words), seed=seed) for seed in (10, 9, None)]
    every += [system("kd", "taught", scored([0, 0], words), seed=None)]
    every = collect.in_order(every[::-1])
    assert [one.name for one in every] == ["teacher", "ref9", "ref10", "refNone", "kd"]
    assert [row[4] for row in compare.summary_table(every, [])[1:]] == ["0.00", "20.00 ± 0.00", "0.00"]
    (one,) = against_references(every)
    assert one.gap == (1.0, 1.0, 1.0) and one.result.difference == -20.0 and one.apart is None
    (row,) = compare.seed_table(every)[1:]
    assert row[-1] == "9: 20.00, 10: 20.00, -: 20.00"


def test_sizes_are_of_weights_that_are_not_zero():
    every = [
        system("teacher", "big", role="teacher", parameters=1000, non_zero=400),
        system("other", "bigger", role="teacher", parameters=3000),
        system("a", "small", parameters=100),
        system("b", "pruned", parameters=100, non_zero=20),
        system("c", "of the other", parameters=100, teacher="other"),
        system("d", "unknown", parameters=None),
        system("e", "empty", parameters=100, non_zero=0),
    ]
    assert [compare.ratio(one, every) for one in every] == ["1", "1", "1/4.0", "1/20.0", "1/30.0", "-", "-"]
    assert [compare.size(one) for one in every] == [
        "400 of 1,000", "3,000", "100", "20 of 100", "100", "-", "0 of 100",
    ]  # fmt: skip
    assert [compare.weights(one) for one in every] == [400, 3000, 100, 20, 100, None, 0]


def test_the_gap_is_that_to_the_teachers_of_the_students_that_were_scored():
    """Of two students one lacks the set: its teacher, though scored there, has taught nothing that is compared."""
    words = [50, 50]
    every = teachers([[10, 0], [0, 0]], words)
    every += [system("ref", "references", scored([40, 0], words))]
    every += [system("kd1", "taught", scored([20, 0], words), teacher=every[0].name)]
    every += [system("kd2", "taught", scored([1, 0], words, name="dev"), teacher=every[1].name, seed=2)]
    (one,) = against_references(every)
    assert one.gap[0] == pytest.approx(20 / 30)
    every[-1].scored["beam", "test"] = scored([20, 0], words)
    assert against_references(every)[-1].gap[0] == pytest.approx(20 / 35)


@pytest.mark.parametrize(
    ("label", "parameters", "base"),
    [
        ("taught", 100, "references"),
        ("taught", 200, "references"),  # the name comes before the size
        ("long: taught", 100, "long: references"),
        ("long: taught", 300, "long: references"),
        ("wide: taught", 200, "long: references"),  # of no name's own: the one of its size
        ("wide: taught", 100, "references"),
        ("wide: taught", 300, "references"),  # or else the first
    ],
)
def test_the_base_is_of_the_networks_name_or_else_of_its_size(label, parameters, base):
    every = [
        system("teacher", "teacher references", role="teacher", parameters=parameters),
        system("a", "references"),
        system("b", "references", seed=2),
        system("c", "long: references", parameters=200),
        system("d", "pruned, references", parameters=parameters, non_zero=5),
    ]
    members = [system("m", label, parameters=parameters)]
    found = compare.base_of([*every, *members], members)
    assert [one.name for one in found] == (["a", "b"] if base == "references" else ["c"])
    assert compare.base_of(members, members) == []


@st.composite
def exps(draw):
    """Words of the utterances; errors of some teachers; of each network and label, of some seeds."""
    words = draw(st.lists(st.integers(0, 9), min_size=2, max_size=5).filter(any))
    errors = st.lists(st.integers(0, 9), min_size=len(words), max_size=len(words))

    def seeds(most=3):
        return draw(st.lists(errors, min_size=1, max_size=most))

    return (
        words,
        seeds(2),
        {network: (seeds(), seeds(), seeds()) for network in ("", "long: ")[: draw(st.integers(1, 2))]},
    )


@examples(100)
@given(exps(), st.integers(0, 2))
def test_differences_are_of_means_over_seeds_to_the_same_networks_student_on_references(drawn, way):
    """Labels may say what they will: roles and records decide who is a teacher, and whose."""
    words, of_teachers, networks = drawn
    on_references = ("student on references", "a teacher on references", "references")[way]
    taught = ("student on 5-best", "references, then 5-best", "teacher twice")[way], "student, 1-best"
    every = teachers(of_teachers, words, ("teacher", "student", "large, on references")[way])
    wanted = {}
    for network, (base, first, second) in networks.items():
        every += runs(f"{network}ref", network + on_references, base, words)
        for label, rows in zip(taught, (first, second), strict=True):
            members = runs(f"{network}{label}", network + label, rows, words)
            for place, one in enumerate(members):
                one.info["teacher"] = every[place % len(of_teachers)].name
            every += members
            wanted[network + label] = base, rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "RESAMPLES", 200)
        found = {one.label: one for one in against_references(collect.in_order(every[::-1]))}
        results = {
            label: paired(np.mean(base, axis=0), np.mean(rows, axis=0), words) for label, (base, rows) in wanted.items()
        }
    assert set(found) == set(wanted)
    for label, (base, rows) in wanted.items():
        one = found[label]
        assert (one.set, one.tag) == ("test", "beam")
        assert one.result == results[label]
        rates = [[100 * sum(errors) / sum(words) for errors in side] for side in (base, rows)]
        assert one.result.difference == pytest.approx(np.mean(rates[1]) - np.mean(rates[0]))
        assert one.apart == (pytest.approx(seeds_apart(*rates)) if min(map(len, rates)) > 1 else None)
        theirs = [100 * sum(of_teachers[place % len(of_teachers)]) / sum(words) for place in range(len(rows))]
        gap = np.mean(rates[0]) - np.mean(theirs)
        if abs(gap - 1.0) < 1e-9:
            continue  # rounding decides
        if gap < 1.0:
            assert one.gap is None
        else:
            ends = one.apart or (one.result.low, one.result.high)
            expected = [-one.result.difference / gap, -ends[1] / gap, -ends[0] / gap]
            assert one.gap == pytest.approx(expected) and one.gap[1] <= one.gap[2]
