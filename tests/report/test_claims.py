"""Claims against figures: what a verdict goes by, which runs are taken, and what is refused."""

from pathlib import Path

import pytest
import yaml
from test_compare import scored, system, teachers

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.report import claims, figures
from kdasr.score.crossed import difference, gap_closed, of_errors
from kdasr.score.measures import BLEU

WORDS = [10, 20, 10, 20]
BASE = [[3, 6, 3, 7], [3, 7, 3, 6], [4, 6, 3, 6]]
GOOD = [[1, 3, 1, 3], [1, 3, 2, 3], [2, 3, 1, 3]]
CLAIM = {
    "claim": "Teaching | helps",
    "figures": "f.jsonl",
    "sets": ["test"],
    "tag": "beam",
    "system": {"recipe": "taught"},
    "control": {"recipe": "references"},
    "goal": {"role": "teacher", "recipe": "teacher"},
    "expected": "better",
}


def students(label, rows, words=WORDS, first=1, **more):
    """Runs, each of another model."""
    decode = [{"model": f"{label}{k}"} for k in range(len(rows))]
    return [
        system(f"{label}_s{k}", label, scored(errors, words, **decode[k - first], **more), seed=k)
        for k, errors in enumerate(rows, first)
    ]


def put(every, path=Path("f.jsonl")):
    figures.append(every, path, figures.About("t", [], [], []))


def ask(path="c.yaml", **changes):
    claim = {key: value for key, value in (CLAIM | changes).items() if value is not None}
    Path(path).write_text(yaml.safe_dump({"claims": [claim]}))
    _, (found,) = claims.judged(path)
    return found


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teacher = teachers([[0, 1, 1, 1]], WORDS)
    put([*teacher, *students("references", BASE), *students("taught", GOOD), *students("alike", BASE[::-1])])


def test_figures_are_those_of_the_model_of_crossed_effects():
    found = ask()
    base, good, goal = of_errors(BASE, WORDS), of_errors(GOOD, WORDS), of_errors([[0, 1, 1, 1]], WORDS)
    assert found.difference == difference(base, good) and found.difference.high < 0
    assert found.gap == gap_closed(base, good, goal) and 0 < found.gap.low < found.gap.value < 1
    assert found.verdict == "confirmed"
    header, row = claims.table([found])
    assert row[:5] == ["Teaching | helps", "test, beam, WER", "taught", "3", found.system.score]
    assert row[4] == "14.44 ± 0.96"  # 8, 9, 9 of 60 in percent
    assert row[10] == "teacher, 1: 5.00" and len(row) == len(header)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"expected": "worse"}, "refuted"),
        ({"system": {"recipe": "alike"}}, "not seen"),
        ({"system": {"recipe": "references"}, "control": {"recipe": "taught"}}, "refuted"),
        ({"system": {"recipe": "references"}, "control": {"recipe": "taught"}, "expected": "worse"}, "confirmed"),
        ({"system": {"role": "teacher", "recipe": "teacher"}, "goal": None}, "one seed: no interval"),
    ],
)
def test_the_verdict_is_the_intervals_and_the_expectation(changes, verdict):
    assert ask(**changes).verdict == verdict


def test_without_a_goal_there_is_no_gap():
    found = ask(goal=None)
    assert found.gap is None and claims.table([found])[1][-3:] == ["-", "-", "confirmed"]


def test_more_bleu_is_better():
    right, half, wrong = (8, 8, 8, 7, 6, 5, 8, 7, 6, 5), (8, 8, 6, 4, 3, 2, 8, 7, 6, 5), (8, 8, 3, 2, 1, 1, 8, 7, 6, 5)
    runs = [right, half] * 10, [wrong, half] * 10
    sides = [claims.Side("x", ["1", "2"], BLEU.linear([one, one])) for one in runs]
    common = ("c", ("test",), "beam", "better", BLEU, *sides, None)
    found = claims.Judged(*common, difference(sides[1].linear, sides[0].linear), None)
    assert found.difference.value > 0 and found.verdict == "confirmed"


def test_several_sets_are_one(tmp_path):
    both = []
    for label, rows in (("references", BASE), ("taught", GOOD)):
        for k, errors in enumerate(rows, 1):
            model = f"both{label}{k}"
            sets = scored(errors, WORDS, model=model), scored(errors[:2], WORDS[:2], name="dev", model=model)
            both.append(system(f"{label}_s{k}", label, *sets, seed=k))
    put(both, tmp_path / "sub/g.jsonl")
    found = ask(sets=["test", "dev"], figures="sub/g.jsonl", goal=None)
    long = [[row[:2] + row for row in rows] for rows in (BASE, GOOD)]
    expected = difference(*(of_errors(rows, WORDS[:2] + WORDS) for rows in long))
    assert (found.difference.value, found.difference.low) == pytest.approx((expected.value, expected.low))


def test_runs_of_one_seed_by_two_machines_are_told():
    twice = claims.Side("x", ["1", "1", "2"], of_errors(GOOD, WORDS))
    assert twice.runs == "3 of 2 seeds"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"system": {"recipe": "tought"}},
            "c.yaml: claim 1 (Teaching | helps): f.jsonl: system: no run of role student",
        ),
        ({"control": {"recipe": "taught", "netwrok": "x"}}, "control: has no key 'netwrok'; expected network"),
        ({"tag": "greedy"}, "none of its runs has greedy of test; there are beam test"),
        ({"sets": []}, "no set is named"),
        ({"sets": ["test", "dev"]}, "none of its runs has beam of test, dev"),
        ({"expected": "bigger"}, "expected is 'bigger'; say better or worse"),
        ({"expect": "better"}, "has no key 'expect'; expected expected"),
        ({"figures": "none.jsonl"}, "none.jsonl: no such file"),
        ({"claim": None}, "c.yaml: has no 'claims[0].claim'"),
        ({"sets": "test"}, "'claims[0].sets' is 'test', expected a list"),
    ],
)
def test_what_is_wrong_is_said(changes, said):
    with pytest.raises(UserError) as error:
        ask(**changes)
    assert said in str(error.value)


@pytest.mark.parametrize("how", ["words", "signature", "utterances"])
def test_systems_that_were_scored_otherwise_are_refused(how):
    words = [10, 20, 20, 10] if how == "words" else WORDS[:3] if how == "utterances" else WORDS
    rows = [row[: len(words)] for row in GOOD]
    put(students("other", rows, words, signature="other" if how == "signature" else "s"))
    with pytest.raises(UserError, match="other utterances, references or rules in test"):
        ask(system={"recipe": "other"})


def test_the_command_writes_a_table_that_can_be_made_again(capsys):
    ask()
    assert main(["claims", "c.yaml", "-o", "out.md"]) == 0
    assert capsys.readouterr().out == "confirmed: Teaching | helps\n"
    text = Path("out.md").read_text()
    assert "|Teaching \\| helps|test, beam, WER|taught|3|" in text and "kdasr claims c.yaml -o out.md" in text


def test_the_projects_own_claims_can_be_judged():
    title, found = claims.judged(Path(__file__).parents[2] / "docs/claims.yaml")
    assert title and len(found) > 10 and all(one.difference for one in found)
