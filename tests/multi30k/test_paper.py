"""egs/multi30k/local/paper.py: the tables of Kim and Rush beside figures that are made up here."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from kdasr.report.collect import Scored, System
from kdasr.report.figures import About, append

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "egs/multi30k/local/paper.py"
SET = "test_2016_flickr"
WORDS = {"a": 6, "b": 4}


def system(recipe, seed, greedy, beam, ppl, mode, cpu=2.0, **info):
    """A system whose figures on the set are these; cpu are the seconds of its greedy search, twice that with a beam."""
    name = "teacher_s1" if recipe == "teacher" else f"student_{recipe}_s{seed}"
    role = "teacher" if recipe == "teacher" else "student"
    info = {"label": recipe, "role": role, "recipe": "" if role == "teacher" else recipe, "seed": seed} | info
    scored = {}
    for tag, rate, seconds in (("greedy", greedy, cpu), ("beam", beam, 2 * cpu)):
        decode = {"model": name, "cpu_seconds": seconds, "source_tokens": 12}
        decode |= {"mode_probability": mode / 100} if tag == "beam" else {}
        counts = {"sentences": 2, "sys_len": 9, "ref_len": 10}
        score = {"bleu": rate, "chrf": 1.0, "ter": 1.0, "brevity_penalty": 1.0, "precisions": (1.0,) * 4}
        score |= {"counts": counts, "signature": "s", "interval95": (0.0, 1.0)}
        statistics = {key: (4, many, 1, 1, 1, 1, 2, 2, 2, 2) for key, many in WORDS.items()}
        scored[tag, SET] = Scored(tag, SET, decode, {}, {}, statistics, bleu=score)
    return System(name, {"parameters": 1000, **info}, 1, scored, {SET: {"ppl": ppl}})


SYSTEMS = [
    system("teacher", 1, 33.0, 34.5, 8.0, 2.0, cpu=4.0, parameters=7000),
    *(system("refs", seed, 30.0 + seed / 10, 31.0, 9.0, 3.0, cpu=1.0) for seed in (1, 2, 3)),
    *(system("seq_k1_b5", seed, 32.0 + seed / 10, 32.0, 80.0, 18.0 + seed) for seed in (1, 2, 3)),
    *(system("word", seed, 30.0 + seed, 31.0, 9.0, 3.0) for seed in (1, 2, 3)),
    system("seq_inter", 1, 32.0, 33.0, 60.0, 16.0),
    system("prune80", 1, 20.0, 30.5, 60.0, 16.0, non_zero=280),
    system("prune50_teacher", 1, 33.0, 34.0, 60.0, 16.0, parameters=7000, non_zero=3500),
    system("prune50_teacher_word", 1, 33.0, 34.75, 60.0, 16.0, parameters=7000, non_zero=3500),
    *(system("nbest", seed, 32.0 + seed, 33.0 + seed / 10, 60.0, 16.0) for seed in (1, 2, 3)),
    system("seq_risk", 1, 31.5, 34.0, 60.0, 16.0),
]


@pytest.fixture
def page():
    return runpy.run_path(str(SCRIPT))["page"](SYSTEMS, SET, sum(WORDS.values()))


def row(page, first, table=""):
    lines = page.split(f"## {table}", 1)[1].splitlines()
    return next(line.strip("|").split("|") for line in lines if line.startswith(f"|{first}|"))


def test_table_1_has_theirs_beside_ours(page):
    assert row(page, "teacher, base") == [
        "teacher, base", "1", "7,000", "33.0", "17.7", "34.5", "19.5", "8.0", "6.7", "2.0", "1.3",
    ]  # fmt: skip
    assert row(page, "Seq-KD")[3:] == [
        "32.2 ± 0.1", "18.9", "32.0 ± 0.0", "19", "80.0 ± 0.0", "22.7", "20.0 ± 1.0", "16.9",
    ]  # fmt: skip


def test_claims_are_told_by_their_intervals(page):
    said = row(page, "Seq-KD is better than the base student, greedy")
    assert said[1:3] == ["+4.2", "+2.0"] and said[-1] == "confirmed"
    assert row(page, "Word-KD is better than the base student, greedy")[-1] == "not seen"  # +1.8, seeds differ by 1
    assert row(page, "Word-KD is better than the base student, greedy")[2] == "+1.8"
    assert row(page, "Seq-Inter helps Seq-KD, beam")[2:] == ["+1.0", "-", "one seed"]


def test_words_a_second_and_pruned_weights(page):
    assert row(page, "teacher, base", "Table 2") == ["teacher, base", "2", "15", "1", "7.9"]  # 10 words in 4 and 8 s
    assert row(page, "student, base", "Table 2")[1:] == ["10 ± 0", "63.6", "5 ± 0", "22.1"]
    assert row(page, "80 %", "Table 3") == ["80 %", "1", "280", "1/25", "30.5", "2.5", "19.1", "13"]
    assert row(page, "0 %", "Table 3")[2:6] == ["1,000", "1/7", "33.0", "-"]
    assert row(page, "the teacher, 50 %, retrained by Seq-KD", "Table 3")[1:6] == ["1", "3,500", "1/2", "34.0", "0.5"]
    assert row(page, "the teacher, 50 %, retrained by Word-KD", "Table 3")[4:6] == ["34.8", "-0.2"]


def test_a_pruned_student_is_compared_with_the_one_of_its_own_seed():
    many = [system("seq_inter", seed, 32.0, beam, 60.0, 16.0) for seed, beam in ((1, 33.0), (2, 37.0))]
    page = runpy.run_path(str(SCRIPT))["page"]([*many, system("prune50", 2, 20.0, 36.0, 60.0, 16.0)], SET, 10)
    assert row(page, "50 %", "Table 3")[4:6] == ["36.0", "1.0"]


def test_ways_beyond_the_paper_stand_beside_one_of_as_many_updates(page):
    told = row(page, "five hypotheses by posterior", "Beyond")
    assert told[1:5] == ["3", "34.0 ± 1.0", "33.2 ± 0.1", "Seq-KD"]
    assert told[5] == "+1.8 [-0.7, +4.3]"  # 34 - 32.2; Welch: t(2.04) = 4.23, times sqrt(1/3 + .01/3)
    assert row(page, "Seq-KD + own BLEU", "Beyond")[4:7] == ["Seq-KD + Seq-Inter", "-0.5", "+1.0"]


def test_a_file_of_figures_is_all_that_it_needs(tmp_path):
    append(SYSTEMS, tmp_path / "figures.jsonl", About("t", [], [], []))
    words = ["--figures", tmp_path / "figures.jsonl", "--set", SET, "--out", tmp_path / "RESULTS.md"]
    subprocess.run([sys.executable, SCRIPT, *words], check=True, cwd=ROOT)
    assert (tmp_path / "RESULTS.md").read_text() == runpy.run_path(str(SCRIPT))["page"](SYSTEMS, SET, 10)
