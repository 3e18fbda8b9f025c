"""The page's first lines: what the headline says, which point is best, and the table of systems."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
    scored = {key: SimpleNamespace(wer={"wer": 1.0}) for key in keys}
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
