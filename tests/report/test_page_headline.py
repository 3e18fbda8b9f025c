"""The page's first lines: what the headline says, which point is best, and the table of systems."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_compare import scored, system, teachers
from test_report_table import REFERENCES, SEQUENCE, exp, write_decode, write_model  # noqa: F401 - a fixture

from kdasr.report import (
    collect,
    compare,
    headline,
    overview,
    table,
)


@pytest.mark.parametrize(
    "points, wanted",
    [
        ([], []),
        ([(3, 3)], [0]),
        # 1 is beaten by 0 (same x), 3 by 2 (both), 4 is the best y; 5 has 4's y at a larger x
        ([(1, 9), (1, 10), (2, 5), (3, 6), (4, 1), (5, 1)], [0, 2, 4]),
        ([(2, 2), (1, 3), (3, 1)], [1, 0, 2]),
        ([(1, 1), (1, 1), (2, 1)], [0, 1]),  # equal points do not beat each other
    ],
)
def test_the_front_holds_what_no_other_point_beats(points, wanted):
    assert headline.front(points) == wanted


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_that_of_its_definition(points):
    def beaten(one):
        return any(x <= one[0] and y <= one[1] and (x, y) != one for x, y in points)

    assert sorted(headline.front(points)) == [k for k, one in enumerate(points) if not beaten(one)]


def answers(every):
    shown = headline.headline(every, compare.against_references(every))
    return shown, {one.question: one for one in shown.answers}


def test_the_headline(exp):  # noqa: F811
    shown, told = answers(collect.systems(exp))
    # on beam there is the teacher alone; the teacher's 10 % of greedy against 15.5 and 16.0 %
    assert shown.key == ("beam", "test") and shown.student == ""
    for seed in (1, 2):
        write_decode(exp / f"kd{seed}", "beam", "test", [2] * 8 + [1] * 12, 20.0)  # 14 %
        write_decode(exp / f"ref{seed}", "beam", "test", [2] * 20, 20.0)  # 20 %
    shown, told = answers(collect.systems(exp))
    assert (shown.key, shown.student, shown.teacher.name) == (("beam", "test"), SEQUENCE, "teacher")
    assert (
        shown.sentence
        == "10.0 × smaller and 4.0 × faster than its teacher, at 14.00 % WER where the teacher has 5.00 %."
    )
    assert [(bar.who, bar.value) for bar in told["How small?"].bars] == [("teacher", 1_000_000), ("student", 100_000)]
    assert [(bar.who, bar.text) for bar in told["How fast?"].bars] == [("teacher", "0.8000 s"), ("student", "0.2000 s")]
    # (20 - 14) of (20 - 5) points
    assert told["How good?"].answer == "40 % of the gap closed"
    bars = [(bar.who, bar.value) for bar in told["How good?"].bars]
    assert bars == [("references", 20.0), ("student", pytest.approx(14.0)), ("teacher", 5.0)]
    assert told["How good?"].bars[2].low == 4.0 and told["How good?"].bars[1].low == pytest.approx(14.0)
    assert shown.cautions == [
        "There is one teacher: how far it would differ with another seed is not in the intervals.",
        "A small set: 200 words, so one error is 0.50 points.",
    ]


def test_a_pruned_teacher_on_references_alone_is_no_headline(exp):  # noqa: F811
    key = ("greedy", "test")
    for label, wanted in (("teacher pruned by 80 %, references", SEQUENCE), ("teacher pruned by 80 %, Word-KD",) * 2):
        for seed in (1, 2):
            pruned = write_model(
                exp, f"{label[-4:]}{seed}", label, 1_000_000, seed, non_zero=200_000, teacher="teacher"
            )
            write_decode(pruned, *key, [0] * 20, 10.0)
        assert headline.best_student(collect.systems(exp), key)[0].label == wanted


def test_a_headline_of_several_teachers_is_of_their_mean(exp):  # noqa: F811
    other = write_model(exp, "teacher@abc", "teacher", 1_000_000, role="teacher", teacher=None)
    write_decode(other, "beam", "test", [1] * 18 + [0] * 2, 80.0)  # 9 %, the other one 5
    for seed, name in ((1, "teacher"), (2, "teacher@abc")):
        write_decode(exp / f"kd{seed}", "beam", "test", [2] * 8 + [1] * 12, 20.0)  # 14 %
        write_decode(exp / f"ref{seed}", "beam", "test", [2] * 20, 20.0)  # 20 %
        path = exp / f"kd{seed}/kdasr.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"teacher": name}))
    every = collect.systems(exp)
    shown, told = answers(every)
    assert shown.sentence.endswith(" at 14.00 % WER where 2 teachers have 7.00 %.")
    assert told["How good?"].answer == "46 % of the gap closed"  # 6 of 13 points
    bar = told["How good?"].bars[2]
    assert (bar.who, bar.value, bar.low) == ("teacher", pytest.approx(7.0), 0.0)
    assert shown.cautions[0] == (
        "Its teachers have 5.00 to 9.00 %: the gap is that to their mean, and how far "
        "they differ is not in its interval."
    )
    _, rows = overview.overview(every, compare.against_references(every))
    assert [row.below for row in rows][:2] == ["2 runs", "2 seeds"]


def test_the_headline_warns(exp):  # noqa: F811
    for seed in (1, 2):
        write_decode(exp / f"kd{seed}", "beam", "test", [2] * 8 + [1] * 12, 20.0)
        write_decode(exp / f"ref{seed}", "beam", "test", [2] * 8 + [1] * 12, 20.0)
    other = write_model(exp, "lucky", "lucky single run", 100_000, teacher="teacher")
    write_decode(other, "beam", "test", [0] * 20, 20.0)
    path = other / "decode_beam/test/score_wer/score.json"
    path.write_text(path.read_text().replace("costs:433", "costs:111"))
    shown, _ = answers(collect.systems(exp))
    assert shown.student == SEQUENCE  # of two seeds; a better single run is not quoted
    assert any("not beyond noise" in one for one in shown.cautions)
    assert any("made by different rules" in one for one in shown.cautions)
    (exp / "kd2/kdasr.json").unlink()
    shown, _ = answers(collect.systems(exp))
    assert shown.student == "lucky single run"  # all taught labels have one seed now
    assert any(one.startswith("The best of 2 kinds") for one in shown.cautions)
    assert any(one.startswith("One seed") for one in shown.cautions)
    assert any("not scored on the same utterances by the same rules" in one for one in shown.cautions)


@pytest.mark.parametrize(
    "keys, wanted",
    [
        ([("greedy", "test"), ("beam", "test")], ("beam", "test")),
        ([("beam", "test_dev93"), ("greedy", "test_eval92")], ("greedy", "test_eval92")),
        ([("greedy", "dev"), ("beam5", "dev")], ("beam5", "dev")),
        ([("beam", "development_free"), ("beam", "a")], ("beam", "a")),
        ([], None),
    ],
)
def test_the_page_begins_with_a_test_set_and_a_beam(keys, wanted):
    scored = {key: SimpleNamespace(rate=1.0) for key in keys}
    assert headline.main_key([SimpleNamespace(scored=scored)]) == wanted


def cells(every, name):
    columns, rows = overview.overview(every, compare.against_references(every))
    row = next(row for row in rows if row.name == name)
    heads = [" ".join(filter(None, [one.title, one.set, one.below])) for one in columns]
    return dict(zip(heads, row.cells, strict=True)), row


def test_the_table_of_systems(exp):  # noqa: F811
    write_model(exp, "pruned", "pruned student", 100_000, non_zero=20_000, teacher="teacher")
    every = collect.systems(exp)
    found, row = cells(every, SEQUENCE)
    assert (row.below, [one.name for one in row.seeds]) == ("2 seeds", ["seed 1", "seed 2"])
    assert (found["× smaller"].text, found["× smaller"].below) == ("10.0", "10.0 on disk")
    wer = found["WER test greedy"]
    assert (wer.text, wer.value) == ("15.75 ± 0.35", 15.75)
    assert wer.below == "[12.6, 18.9]"  # Student's over two seeds: 15.75 - 12.706 * 0.25, + the same
    assert found["gap closed test greedy"].text == "0.63"  # 10 of (25.75 - 10) points
    assert found["RTF greedy, CPU"].value == pytest.approx(0.1)
    assert found["training CPU time"].text == "50 s" and found["WER test beam"].text == "-"
    seeds = [one.cells for one in row.seeds]
    place = list(found).index("WER test greedy")
    assert [(one[place].text, one[place].below) for one in seeds] == [
        ("15.50", "[14.5, 16.5]"),
        ("16.00", "[15.0, 17.0]"),
    ]
    found, _ = cells(every, "pruned student")
    assert (found["parameters"].text, found["parameters"].below) == ("20,000", "of 100,000")
    assert (found["× smaller"].text, found["× smaller"].value) == ("50", 50.0)
    found, _ = cells(every, "teacher")
    assert found["× smaller"].text == "1" and found["WER test beam"].below == "[4.0, 6.0]"


def test_what_a_gpu_decoded_is_timed_by_the_clock_in_a_column_of_its_own(exp):  # noqa: F811
    path = exp / "teacher/decode_beam/test/decode.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cuda:0", "wall_seconds": 5.0}))
    every = collect.systems(exp)
    found, _ = cells(every, "teacher")
    assert found["RTF beam, GPU"].value == pytest.approx(0.05)
    assert "RTF beam, CPU" not in found
    head, teacher, *_ = table.main_table(every)
    assert teacher[head.index("RTF beam GPU")] == "0.050" and teacher[head.index("RTF beam")] == "-"
    assert "by the clock" in table.legend(every)


def shown_of(*systems):
    every = collect.in_order(list(systems))
    return headline.headline(every, compare.against_references(every))


def timed(rate, seconds, name="test", **more):
    """A set of 100 words, decoded in so many seconds for a hundred of audio."""
    return scored([rate, 0], [50, 50], "beam", name, cpu_seconds=seconds, audio_seconds=100.0, **more)


def test_figures_of_the_headline_are_of_its_set_and_search():
    """The other set is decoded by other speeds, and its gap is another one."""
    sets = (("dev", 10), ("test", 1))

    def decoded(name, label, rates, seconds, **info):
        return system(name, label, *(timed(r, seconds * f, s) for r, (s, f) in zip(rates, sets, strict=True)), **info)

    every = [decoded("teacher", "teacher", (10, 10), 8.0, role="teacher", teacher=None, parameters=1000)]
    for seed in (1, 2):
        every += [decoded(f"ref{seed}", "on references", (40, 20), 1.0, seed=seed)]
        every += [decoded(f"kd{seed}", "taught", (20, 11 + seed), 1.0 + seed, seed=seed)]
    shown = shown_of(*every)
    assert shown.key == ("beam", "test")
    # seeds take 0.02 and 0.03 seconds a second: 0.08 / 0.025
    assert (
        shown.sentence
        == "10.0 × smaller and 3.2 × faster than its teacher, at 12.50 % WER where the teacher has 10.00 %."
    )
    small, fast, good = shown.answers
    assert small.told == "parameters; 0.0 MB on disk, the teacher 0.0 MB"
    assert fast.told == "CPU seconds to decode a second of audio, beam"
    assert [(bar.who, bar.text) for bar in fast.bars] == [("teacher", "0.0800 s"), ("student", "0.0250 s")]
    # of 10 points 7.5 are made up for; over seeds of 12 and 13, and of 20 twice, the interval is Student's with one
    # degree of freedom: 7.5 +- 12.706 * 0.5
    assert good.answer == "75 % of the gap closed"
    assert good.told == (
        "WER on test, beam; the gap between references alone and the teacher, 95 % interval 11 to 139 %"
    )
    assert [(bar.low, bar.high) for bar in good.bars][1] == (
        pytest.approx(12.5 - 12.7062 * 0.5, abs=1e-3), pytest.approx(12.5 + 12.7062 * 0.5, abs=1e-3),
    )  # fmt: skip
    assert good.most == 99.0  # the end of the teacher's interval, not of a bar


@pytest.mark.parametrize(
    ("student", "teacher", "answer"),
    [
        (2.0, 8.0, "4.0 × faster"),
        (8.0, 8.0, "1.0 × faster"),
        (8.0, 2.0, "4.0 × slower"),
        (1.0, 19.9, "19.9 × faster"),
        (1.0, 20.0, "20 × faster"),
        (80.0, 2.0, "40 × slower"),
    ],
)
def test_faster_or_slower(student, teacher, answer):
    big = system("teacher", "teacher", timed(5, teacher), role="teacher", teacher=None, parameters=1000)
    shown = shown_of(big, system("kd", "taught", timed(9, student)))
    assert shown.sentence.startswith(f"10.0 × smaller and {answer} than its teacher, at 9.00 % WER")
    assert [bar.value for bar in shown.answers[1].bars] == [pytest.approx(teacher / 100), pytest.approx(student / 100)]


def test_what_is_not_known_of_a_teacher_is_compared_with_nothing():
    known, unknown = timed(5, 8.0), scored([5, 0], [50, 50])
    student = system("kd", "taught", timed(9, 2.0))
    about = {"role": "teacher", "teacher": None}
    ending = "9.00 % WER where the teacher has 5.00 %."
    for sets, parameters, facts in (
        (known, None, "4.0 × faster than its teacher, at "),
        (unknown, 1000, "10.0 × smaller than its teacher, at "),
        (unknown, None, ""),
    ):
        shown = shown_of(system("teacher", "teacher", sets, parameters=parameters, **about), student)
        assert shown.sentence == facts + ending
        assert len(shown.answers) == 3
    alone = shown_of(student)
    assert alone.sentence == "9.00 % WER on test; there is no teacher beside it to compare with."
    assert [one.answer for one in alone.answers] == ["100", "50 × real time", "9.00 % WER"]


@pytest.mark.parametrize(("words", "small"), [(1, True), (1999, True), (2000, False), (2001, False)])
def test_a_small_set_has_fewer_than_two_thousand_words(words, small):
    told = [one for one in shown_of(system("kd", "taught", scored([0], [words]))).cautions if "small set" in one]
    assert told == ([f"A small set: {words:,} words, so one error is {100 / words:.2f} points."] if small else [])


@pytest.mark.parametrize(("ours", "theirs", "one_seed"), [(1, 1, True), (1, 2, True), (2, 1, True), (2, 2, False)])
def test_one_seed_on_either_side_is_said(ours, theirs, one_seed):
    every = teachers([[1, 1]], [50, 50])
    for name, label, count in (("kd", "taught", ours), ("ref", "references", theirs)):
        every += [system(f"{name}{seed}", label, scored([9, seed], [50, 50]), seed=seed) for seed in range(count)]
    assert any(one.startswith("One seed on one side") for one in shown_of(*every).cautions) == one_seed


def test_the_best_student_is_of_the_least_mean_and_its_rivals_are_counted():
    every = teachers([[1, 1]], [50, 50])
    for label, rates in (("a", (9, 13)), ("b", (10, 11)), ("c", (8, 14)), ("d references", (1, 1))):
        every += [
            system(f"{label}{seed}", label, scored([rate, 0], [50, 50]), seed=seed) for seed, rate in enumerate(rates)
        ]
    every.append(system("lucky", "single", scored([2, 0], [50, 50])))
    shown = shown_of(*every)
    assert shown.student == "b"
    assert shown.cautions[0].startswith("The best of 3 kinds of student, picked by this very figure")
    for rules, told in ((("s", "s"), False), (("s", "other"), True)):
        pair = [
            system(name, name, scored([5, 0], [50, 50], signature=one)) for name, one in zip("xy", rules, strict=True)
        ]
        cautions = shown_of(*pair).cautions
        assert any(one.startswith("Scores on test, beam were made by different rules") for one in cautions) == told


def test_the_longest_bar_or_interval_is_the_end_of_the_picture():
    bars = [headline.Bar("student", 3.0, "", 1.0, 8.0), headline.Bar("teacher", 5.0, "")]
    assert headline.Answer("", "", "", bars).most == 8.0
    assert headline.Answer("", "", "", [*bars, headline.Bar("references", 9.0, "", 8.5, 8.9)]).most == 9.0


def test_cells_of_seeds_and_of_labels():
    """Two seeds unlike in all they measured; a label's cells are means, a seed's its own."""

    def decoded(name, label, rate, cer, seconds, **info):
        one = timed(rate, seconds)
        one.cer.update(cer=cer, interval95=[cer - 1, cer + 2])
        return system(name, label, one, **info)

    about = {"role": "teacher", "teacher": None, "parameters": 1000}
    every = [decoded("teacher", "teacher", 5, 2.0, 8.0, train_seconds=7200.0, **about)]
    for seed, (rate, cer, seconds, cpu, wall) in enumerate([(9, 4.0, 2.0, 100, 7190), (13, 6.0, 3.0, 140, 7250)], 1):
        times = {"cpu_seconds": cpu, "train_seconds": wall, "seed": seed}
        every += [decoded(f"kd{seed}", "taught", rate, cer, seconds, **times)]
        every += [decoded(f"ref{seed}", "references", 22, 9.0, seconds, seed=seed)]
    every = collect.in_order(every)
    found, row = cells(every, "taught")
    assert {title: (cell.text, cell.below, cell.value) for title, cell in found.items()} == {
        "× smaller": ("10.0", "10.0 on disk", 10.0),
        "WER test beam": ("11.00 ± 2.83", "[-14.4, 36.4]", 11.0),
        # 11 of 17 points, Student's interval over the two seeds: +- 12.706 * 2 points
        "gap closed test beam": ("0.65", "[-0.85, 2.14] noise", pytest.approx(11 / 17)),
        "CER test beam": ("5.00 ± 1.41", "", 5.0),
        "RTF beam, CPU": ("0.0250", "40 × real time", pytest.approx(0.025)),
        "parameters": ("100", "", 100),
        "MB on disk": ("0.0", "", 400),
        "training CPU time": ("2 min", "2.0 h by the clock", 120.0),
    }
    second = dict(zip(found, row.seeds[1].cells, strict=True))
    assert {title: (cell.text, cell.below) for title, cell in second.items()} == {
        "× smaller": ("10.0", "10.0 on disk"),
        "WER test beam": ("13.00", "[0.0, 99.0]"),
        "gap closed test beam": ("-", ""),  # a share is a label's
        "CER test beam": ("6.00", "[5.0, 8.0]"),
        "RTF beam, CPU": ("0.0300", "33 × real time"),
        "parameters": ("100", ""),
        "MB on disk": ("0.0", ""),
        "training CPU time": ("2 min", "2.0 h by the clock"),
    }
    _, one = cells(every, "teacher")
    assert (one.below, one.seeds) == ("seed 1", ())
    assert one.cells[-1].below == "2.0 h by the clock" and one.cells[-1].text == ""
    for seeds, kind in (((1, 2), "2 seeds"), ((1, 1), "2 runs"), ((1, 2, 1), "3 runs"), ((None, 1), "2 seeds")):
        group = [system(f"m{k}", "x", scored([1], [5]), seed=seed) for k, seed in enumerate(seeds)]
        assert overview.overview(group, [])[1][0].below == kind
    beyond = compare.Against(
        ("taught",), "taught", "test", "beam", compare.Paired(-1, -2, -0.5, 0.01), None, (0.5, 0.25, 1.0)
    )
    assert overview._gap(beyond).below == "[0.25, 1.00]"


def test_what_is_said_of_sizes_and_of_a_gpu():
    def decoded(name, label, seconds, size, **info):
        one = scored([5, 0], [50, 50], "beam", "test", device="cuda:0", wall_seconds=seconds, cpu_seconds=1.0,
                     audio_seconds=100.0)  # fmt: skip
        return dataclasses.replace(system(name, label, one, **info), bytes=size)

    about = {"role": "teacher", "teacher": None, "parameters": 2000, "non_zero": 1500}
    teacher = decoded("teacher", "teacher", 4.0, 25_000_000, **about)
    shown = shown_of(teacher, decoded("kd", "taught", 2.0, 3_140_000, non_zero=50))
    small, fast, _ = shown.answers
    assert (small.answer, small.told) == (
        "30 × smaller", "parameters that are not zero; 3.1 MB on disk, the teacher 25.0 MB",
    )  # fmt: skip
    assert [bar.text for bar in small.bars] == ["1,500", "50"]
    assert fast.told == "seconds by the clock, on a GPU, to decode a second of audio, beam"
    assert [bar.text for bar in fast.bars] == ["0.0400 s", "0.0200 s"]
    shown = shown_of(dataclasses.replace(teacher, bytes=None), decoded("kd", "taught", 2.0, 3_140_000))
    assert shown.answers[0].told == "parameters; 3.1 MB on disk"


def test_intervals_of_one_run_and_of_several():
    def with_interval(name, rate, *ends, **info):
        one = scored([rate, 0], [50, 50])
        one.wer["interval95"] = list(ends) or None
        return system(name, "x", one, **info)

    key = ("beam", "test")
    assert headline.interval([with_interval("a", 5, 4.0, 7.5)], key) == (4.0, 7.5)
    assert headline.interval([with_interval("a", 5)], key) == (None, None)
    assert (
        headline.interval([], key) == headline.interval([with_interval("a", 5, 4.0, 7.5)], ("x", "y")) == (None, None)
    )
    low, high = headline.interval([with_interval("a", 5, 4.0, 7.5), with_interval("b", 6, 1.0, 9.0, seed=2)], key)
    assert (low, high) == (pytest.approx(5.5 - 12.7062 * 0.5, abs=1e-3), pytest.approx(5.5 + 12.7062 * 0.5, abs=1e-3))
