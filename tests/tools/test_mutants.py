"""tools/mutants.py: the committed mistakes can be made, and only a test that fails of one counts as noticing it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import mutants
from mutants import ROOT, Mistake

CODE = "def larger(a, b):\n    return a if a > b else b\n"
TEST = "from code_of import larger\n\n\ndef test_larger():\n    assert larger(1, 2) == 2 == larger(2, 1)\n"


def mistake(right, wrong, **more):
    given = {"area": "code", "words": wrong, "file": "code_of.py", "tests": ("test_it.py",), "harmless": "", **more}
    return Mistake(right=right, wrong=wrong, **given)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "code_of.py").write_text(CODE)
    (tmp_path / "test_it.py").write_text(TEST)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return tmp_path


def test_every_committed_mistake_can_be_made():
    """Whoever moves the code moves its mistakes along."""
    every = mutants.all_mistakes()
    assert len(every) >= 150
    for one in every:
        assert one.text(ROOT) != (ROOT / one.file).read_text()
    assert len({(one.file, one.right, one.wrong) for one in every}) == len(every)
    for part in ("kdasr/losses/", "kdasr/search/", "kdasr/score/", "kdasr/data/", "kdasr/targets/", "kdasr/asr/"):
        assert sum(one.file.startswith(part) for one in every) >= 10
    assert sum(one.file.endswith(".sh") for one in every) >= 10
    assert sum("slurm" in one.file for one in every) >= 10


RUN = """
import json, sys
import hypothesis, pytest  # once for all
from pathlib import Path
sys.path.insert(0, "{tools}")
import mutants
given = [mutants.Mistake(*one[:5], tuple(one[5]), one[6]) for one in json.loads(sys.argv[1])]
ends = mutants.outcomes(given, [Path("copy")], 10.0, False)[0]
print(json.dumps([ends[one] for one in given]))
"""


def outcomes(mistakes, tree):
    """What became of each, in a program of its own: here pytest runs already."""
    (tree / "copy").mkdir()
    for path in (*tree.glob("*.py"), *tree.glob("*.toml")):
        path.rename(tree / "copy" / path.name)
    words = [sys.executable, "-c", RUN.replace("{tools}", str(ROOT / "tools")), json.dumps(mistakes)]
    done = subprocess.run(words, cwd=tree, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_what_a_failing_test_notices_is_killed_and_the_code_is_as_it_was(tree):
    endless = "    while larger(1, 2) != 2:\n        time.sleep(0.1)\n"
    (tree / "test_hangs.py").write_text("import time\n" + TEST.replace("    assert", f"{endless}    assert"))
    skipping = "import pytest\n\n\ndef test_other():\n    pytest.skip('no sclite')\n"
    (tree / "test_skips.py").write_text(skipping)
    (tree / "test_half.py").write_text(f"{skipping}\n\ndef test_one():\n    pass\n")
    mistakes = [
        mistake("a > b", "a < b"),
        mistake("a > b", "a >= b"),  # the same for all that the test asks
        mistake("a > b", "a > b ", tests=("test_gone.py",)),
        mistake("larger", "smaller"),  # the test cannot be imported
        mistake("a > b", "a < b", tests=("test_hangs.py",)),
        mistake("a > b", "a < b", tests=("test_skips.py",)),
        mistake("a > b", "a < b", tests=("test_half.py",)),
    ]
    assert outcomes(mistakes, tree) == ["killed", "survived", "broken", "broken", "killed", "skipped", "survived"]
    assert (tree / "copy/code_of.py").read_text() == CODE


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("a", "its 'from' is in code_of.py 4 times, not once"),
        ("c > b", "its 'from' is in code_of.py 0 times, not once"),
        ("a > b else b", "with it code_of.py is no Python"),
    ],
)
def test_mistakes_that_cannot_be_made_are_named(tree, right, said):
    with pytest.raises(ValueError, match=said):
        mistake(right, "a >").text(tree)


def test_the_table_counts_and_the_exit_status_is_that_of_real_survivors(monkeypatch, capsys):
    every = [mistake(f"{number}", f"{number} wrong", area=area) for number, area in enumerate("aab")]
    every.append(mistake("3", "3 wrong", area="b", harmless="it is a comment"))
    ends = dict(zip(every, ["killed", "survived", "killed", "survived"], strict=True))
    assert mutants.table(every, ends).splitlines()[2:] == [
        "| a | 2 | 1 | 1 | 0 |",
        "| b | 1 | 1 | 0 | 1 |",
        "| all | 3 | 2 | 1 | 1 |",
        "",
        "2 of 3 plausible mistakes were noticed: 66.7 %",
    ]
    passed = [0]

    class Control:
        began = 0.0

        def __init__(self, *_):
            pass

        def status(self, _):
            return passed[0]

        def said(self):
            return "FAILED"

    monkeypatch.setattr(mutants, "warm_up", lambda: None)
    monkeypatch.setattr(mutants, "copy_of_tree", lambda folder: folder)
    monkeypatch.setattr(mutants, "Tests", Control)
    noticed = dict.fromkeys(every, "FAILED test_it.py::test_larger")
    monkeypatch.setattr(mutants, "outcomes", lambda *_: (ends, noticed))
    assert mutants.campaign(every, 2, False) == 1
    assert "survived: a: code_of.py: 1 wrong\n" in capsys.readouterr().out
    ends[every[1]] = "killed"
    assert mutants.campaign(every, 2, False) == 0
    assert "survived: b: code_of.py: 3 wrong (harmless: it is a comment)\n" in capsys.readouterr().out
    ends[every[3]] = "killed"
    assert mutants.campaign(every, 2, False) == 1
    assert "listed as harmless, but FAILED test_it.py::test_larger" in capsys.readouterr().err
    ends[every[3]] = "survived"
    ends[every[0]] = "broken"
    assert mutants.campaign(every, 2, False) == 1
    assert "its tests cannot be run" in capsys.readouterr().err
    ends[every[0]] = "skipped"
    capsys.readouterr()
    assert mutants.campaign(every, 2, False) == 0
    said = capsys.readouterr().out
    assert "| a | 1 | 1 | 0 | 0 |" in said
    assert "not tried, as its tests are skipped here: a: code_of.py: 0 wrong\n" in said
    ends[every[0]] = "killed"
    passed[0] = 1  # they fail without a mistake
    assert mutants.campaign(every, 2, False) == 1
    assert "so that they cannot notice a mistake" in capsys.readouterr().err


def test_a_draw_is_random_and_its_seed_gives_it_again():
    every = [mistake("x", str(number)) for number in range(100)]
    draws = {tuple(mutants.chosen(every, [], 20, seed)) for seed in range(30)}
    assert len(draws) == 30 and {len(set(draw)) for draw in draws} == {20}
    assert {one for draw in draws for one in draw} == set(every)
    assert mutants.chosen(every, [], 20, 7) == mutants.chosen(every, [], 20, 7)
    assert mutants.chosen(every, [], 0, 7) == every
    assert [one.words for one in mutants.chosen(every, ["99"], 0, 7)] == ["99"]
    assert len(mutants.chosen(every, ["code"], 0, 7)) == len(mutants.chosen(every, ["code_"], 0, 7)) == 100
    assert mutants.chosen(every, ["cod"], 0, 7) == every  # a file may be named by its beginning
    assert mutants.chosen(every, ["ode"], 0, 7) == []


def test_lists_with_unknown_keys_or_tests_are_refused(tmp_path):
    entry = {"mistake": "m", "file": "kdasr/cli.py", "from": "a", "to": "b"}
    for change, said in [
        ({"why": "x"}, r"unknown \['why'\]"),
        ({"tests": ["tests/test_gone.py"]}, "there is no tests/test_gone.py"),
        ({"to": "a"}, "changes nothing"),
    ]:
        (tmp_path / "x.yaml").write_text(yaml.safe_dump({"tests": ["tests/test_cli.py"], "mistakes": [entry | change]}))
        with pytest.raises(ValueError, match=said):
            mutants.read(tmp_path / "x.yaml")
    del entry["to"]
    (tmp_path / "x.yaml").write_text(yaml.safe_dump({"tests": ["tests/test_cli.py"], "mistakes": [entry]}))
    with pytest.raises(ValueError, match=r"missing \['to'\]"):
        mutants.read(tmp_path / "x.yaml")


def test_tests_are_run_once():
    given = {"tests/losses", "tests/losses/test_word.py", "tests/x.py::test_a", "tests/x.py", "tests/losses_too.py"}
    assert mutants.without_parts(given) == ["tests/losses", "tests/losses_too.py", "tests/x.py"]
