"""Reports of translators: in BLEU, of which more is better, wherever something is compared or shown."""

import csv
import io
import json
import re

import pytest
from test_page import Markup
from test_report_table import write_model
from translator_inputs import LABELS, make_translators

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.report import collect, compare, figures, headline, page, plots, table
from kdasr.report.overview import overview
from kdasr.report.pace import AUDIO, TEXT, pace_of
from kdasr.score import bleu
from kdasr.score.measures import BLEU

KEY = "beam", "test"


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    return make_translators(tmp_path_factory.mktemp("mt"))


@pytest.fixture(scope="module")
def every(exp):
    return collect.systems(exp)


def rates(exp, name, tag="beam"):
    return [
        json.loads(path.read_text())["bleu"]
        for path in sorted(exp.glob(f"{name}*/decode_{tag}/test/score_bleu/score.json"))
    ]


def mean(values):
    return sum(values) / len(values)


def test_the_best_student_is_that_of_the_most_points(exp, every):
    found = compare.against_references(every)
    head = headline.headline(every, found)
    ref, kd, teacher, bad = (mean(rates(exp, name)) for name in ("ref", "kd", "teacher", "bad"))
    assert bad < ref < kd < teacher  # what this directory is made for
    assert (head.student, head.key) == ("taught", KEY)
    closed = (kd - ref) / (teacher - ref)
    assert head.answers[-1].answer == f"{100 * closed:.0f} % of the gap closed" and 0 < closed < 1
    assert head.sentence.endswith(f"at {kd:.2f} BLEU where the teacher has {teacher:.2f}.")
    assert "10.0 × smaller and 2.5 × faster than its teacher" in head.sentence
    assert [bar.text for bar in head.answers[-1].bars] == [f"{ref:.2f}", f"{kd:.2f}", f"{teacher:.2f}"]
    assert [bar.text for bar in head.answers[1].bars] == ["5.0000 s", "2.0000 s"]
    assert "to translate 1,000 source tokens" in head.answers[1].told
    assert not any("one error" in caution for caution in head.cautions)


def test_differences_are_positive_where_a_system_is_better(exp, every):
    found = {(one.label, one.tag): one for one in compare.against_references(every)}
    for name in ("kd", "bad"):
        one = found[LABELS[name], "beam"]
        difference = mean(rates(exp, name)) - mean(rates(exp, "ref"))
        assert one.result.difference == pytest.approx(difference, abs=1e-3)
        assert one.result.low < difference < one.result.high
        whole = mean(rates(exp, "teacher")) - mean(rates(exp, "ref"))
        middle, low, high = one.gap
        assert middle == pytest.approx(difference / whole, abs=1e-3) and low < middle < high
        assert low == pytest.approx(one.apart[0] / whole, abs=1e-3)
    assert found["taught", "beam"].result.low > 0 > found["taught badly", "beam"].result.high
    rows = compare.comparison(list(found.values()))
    assert any(row[0] == "taught" and row[3].startswith("+") for row in rows)
    assert "positive where the system is better" in compare.comparison_note(BLEU)
    assert compare._gap(found["taught", "beam"].result, None, 30.0, [29.0], BLEU) is None  # the teacher is worse


def test_p_of_one_seed_is_that_of_sacrebleus_test(exp):
    every = [one for one in collect.systems(exp) if not one.name.endswith("2")]
    rows = [
        list(bleu.read_rows(exp / f"{name}/decode_beam/test/score_bleu/per_sentence.jsonl").values())
        for name in ("kd1", "ref1")
    ]
    found = next(one for one in compare.against_references(every) if (one.label, one.tag) == ("taught", "beam"))
    assert found.result.p == pytest.approx(bleu.paired_test(*rows)["p"])


def test_what_a_beam_gains_is_positive(exp, every):
    head, *rows = compare.mode_table(every)
    assert head[3:6] == ["greedy BLEU", "BLEU", "BLEU - greedy"]
    row = next(row for row in rows if row[0] == "teacher")
    greedy, beam = rates(exp, "teacher", "greedy") + rates(exp, "teacher")
    assert row[3:6] == [f"{greedy:.2f}", f"{beam:.2f}", f"{beam - greedy:.2f}"] and beam > greedy
    assert row[7] == "5.00"  # percent: of a probability of 0.05


def test_tables_have_no_columns_of_speech(exp, every):
    text = table.render(every, compare.against_references(every), "T", [], [], [])
    assert not re.search(r"WER|CER|RTF|audio|sclite", text)
    assert "BLEU by sacrebleu, higher is better" in text and "tok:13a|smooth:exp" in text
    head, *rows = table.main_table(every)
    assert head[-5:] == ["test greedy BLEU", "test beam BLEU", "tokens/s greedy", "tokens/s beam", "training"]
    assert rows[0][-3:-1] == ["200", "200"] and rows[1][-2] == "500"
    (teacher,) = rates(exp, "teacher")
    assert rows[0][-4].startswith(f"{teacher:.2f} [")
    columns, _ = overview(every, [])
    assert [column.title for column in columns] == [
        *("× smaller", "BLEU", "BLEU", "tokens/s", "tokens/s", "parameters", "MB", "training")
    ]
    score = json.loads((exp / "teacher/decode_beam/test/score_bleu/score.json").read_text())
    row = table.translation_table(every[0])[1]
    assert row[:3] == ["decode_beam/test", "40", f"{teacher:.2f}"] and row[-1] == f"{score['ter']:.2f}"
    assert row[3:7] == [f"{one:.1f}" for one in score["precisions"]]
    ratio = score["counts"]["sys_len"] / score["counts"]["ref_len"]
    assert row[7:10] == [f"{score['brevity_penalty']:.3f}", f"{ratio:.3f}", f"{score['chrf']:.2f}"] and ratio < 1


def test_speed_is_told_by_what_was_read(every):
    assert pace_of(every) is TEXT and pace_of([]) is AUDIO
    assert (
        TEXT.cost(every[0], "beam") == 0.005 and TEXT.figure(0.005, 4) == "200" and AUDIO.figure(0.005, 4) == "0.0050"
    )
    assert AUDIO.cost(every[0], "beam") is None


def test_the_csv_has_the_columns_of_translations(exp, tmp_path):
    assert main(["report", str(exp), "-o", str(tmp_path / "R.csv")]) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "R.csv").read_text())))
    row = next(row for row in rows if (row["name"], row["search"]) == ("teacher", "beam"))
    score = json.loads((exp / "teacher/decode_beam/test/score_bleu/score.json").read_text())
    assert [float(row[key]) for key in ("bleu", "chrf", "ter", "brevity_penalty")] == [
        score[key] for key in ("bleu", "chrf", "ter", "brevity_penalty")
    ]
    assert [float(row["bleu_low"]), float(row["bleu_high"])] == score["interval95"]
    assert (row["sentences"], row["ref_len"]) == ("40", str(score["counts"]["ref_len"]))
    assert row["cpu_tokens_per_second"] == "200.0000" and row["signature"] == score["signature"]
    assert not {"wer", "cer", "cpu_rtf"} & row.keys()


def test_figures_alone_give_the_same_tables(exp, every, tmp_path):
    path = tmp_path / "figures.jsonl"
    figures.append(every, path, figures.About("T", [], [], []))
    again = figures.merged([], path)
    again = collect.in_order(again)
    assert [one.scored[KEY].utterances for one in again] == [one.scored[KEY].utterances for one in every]
    for make in (table.main_table, compare.against_references, compare.seed_table, compare.mode_table):
        assert make(again) == make(every)
    lines = path.read_text()
    figures.append(every, path, figures.About("T", [], [], []))
    assert path.read_text() == lines  # nothing is new


def test_the_page_shows_source_reference_and_translations(exp, every, tmp_path):
    assert main(["report", str(exp), "-o", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text()
    shown = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    assert not re.search(r"WER|CER|RTF|error rate|matched pairs|sclite", shown, re.IGNORECASE)
    assert "Up and to the left is better" in shown and "Size against BLEU, test, beam" in shown
    data = json.loads(Markup(text).scripts[0])
    (part,) = data["sets"]
    rows = bleu.read_rows(exp / "kd1/decode_beam/test/score_bleu/per_sentence.jsonl")
    assert data["measure"] == "BLEU" and part["ids"] == list(rows)
    assert part["srcs"] == [row["src"] for row in rows.values()]
    assert part["refs"] == [row["ref"] for row in rows.values()]
    one = next(x for x in data["scored"] if (data["systems"][x["system"]]["name"], x["tag"]) == ("kd1", "beam"))
    assert one["hyps"] == [row["hyp"] for row in rows.values()]
    assert one["errors"] == pytest.approx([100 - row["bleu"] for row in rows.values()], abs=0.06)
    first = data["first"]
    assert [data["systems"][first[side]]["name"] for side in "ab"] == ["teacher", "kd1"]


def test_the_front_of_a_picture_is_upwards():
    points = [plots.Point(0, 10, 30.0, "high"), plots.Point(1, 5, 20.0, "small"), plots.Point(2, 20, 25.0, "beaten")]
    up = plots.costs(points, "x", "BLEU", "a-", True)
    assert re.search(r'aria-label="([^"]*)"', up)[1] == "BLEU against x. On the Pareto front: small; high"
    down = plots.costs(points, "x", "WER", "a-")
    assert re.search(r'aria-label="([^"]*)"', down)[1] == "WER against x. On the Pareto front: small"


def test_scores_of_two_kinds_are_not_put_into_one_report(exp, every):
    wer = collect.Scored("beam", "dev", {}, {"wer": 10.0}, {}, {})
    mixed = [*every, collect.System("speech", {"label": "speech"}, None, {("beam", "dev"): wer})]
    with pytest.raises(UserError, match=r"scores of two kinds.*BLEU: .*WER: speech, dev beam"):
        collect.measure_of(mixed)


def test_a_damaged_score_is_named(exp, tmp_path, capsys):
    copy = tmp_path / "exp/m"
    out = copy / "decode_beam/test/score_bleu"
    write_model(tmp_path / "exp", "m", "m", 10)
    out.mkdir(parents=True)
    there = exp / "kd1/decode_beam/test/score_bleu"
    (out / "score.json").write_text((there / "score.json").read_text())
    (out / "per_sentence.jsonl").write_text('{"id": "s00"}\n')
    assert main(["report", str(tmp_path / "exp"), "-o", str(tmp_path / "R.md")]) == 1
    assert "per_sentence.jsonl:1: has no 'ref'" in capsys.readouterr().err
    (out / "per_sentence.jsonl").write_text((there / "per_sentence.jsonl").read_text())
    (out / "score.json").write_text('{"bleu": "x"}')
    assert main(["report", str(tmp_path / "exp"), "-o", str(tmp_path / "R.md")]) == 1
    assert "score.json: 'bleu' is 'x', expected a number" in capsys.readouterr().err


def test_words_of_archives_are_left_out_of_translators():
    assert page._without_words([["a", "WER of the best", "oracle WER", "b"], ["1", "2", "3", "4"]]) == [
        ["a", "b"],
        ["1", "4"],
    ]
