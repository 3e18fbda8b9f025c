"""Claims on pages: rows and panels are those of the figures; the better, the higher, whichever way a score counts."""

import contextlib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from test_claims import BASE, GOOD, WORDS, ask, place, put, students  # noqa: F401
from test_compare import teachers

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.report import claim_pages, claim_picture, claims
from kdasr.score.crossed import Joint
from kdasr.score.measures import BLEU

FRONT = {"row": "Speech | data", "panel": "speech <1>"}


def sized(label, rows, parameters, updates, make=students):
    """Runs that know how large they are, and how long they were trained."""
    every = make(label, rows, WORDS) if make is students else make(rows, WORDS)
    for one, many in zip(every, updates, strict=True):
        one.info.update(parameters=parameters, updates=many)
    return every


@pytest.fixture
def front(place):  # noqa: F811
    """A claim with a row and a panel; all sizes and updates are known."""
    put(sized("", [[0, 1, 1, 1]], 4000, [9], teachers))
    put(sized("references", BASE, 1000, [1500] * 3) + sized("taught", GOOD, 1000, [1500] * 3))
    return ask(front=FRONT, name="one")


def test_a_row_of_the_front_page(front):
    header, row = claim_pages.front_table([front, ask(name="two")])
    assert len(header) == len(row)
    told = dict(zip(header, row, strict=True))
    assert (told["data"], told["size"], told["updates"]) == ("Speech | data (WER)", "1/4.0", "1,500")
    assert (told["teacher"], told["references alone"]) == ("5.00 (1)", "31.67 ± 0.00 (3)")
    assert told["taught"] == "14.44 ± 0.96 (3)"
    change, share = front.difference, front.gap
    assert told["difference"] == f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}]"
    assert told["gap closed"] == f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"
    assert told["better?"] == "yes"


@pytest.mark.parametrize(
    ("expected", "sides", "said"),
    [
        ("better", ("taught", "references"), "yes"),
        ("better", ("references", "taught"), "no, worse"),
        ("worse", ("references", "taught"), "no, worse"),
        ("worse", ("taught", "references"), "yes"),
        ("better", ("alike", "references"), "not seen"),
    ],
)
def test_whether_it_is_better_is_no_matter_of_what_was_expected(expected, sides, said):
    found = ask(expected=expected, system={"recipe": sides[0]}, control={"recipe": sides[1]}, goal=None)
    assert claim_pages.answer(found) == said


def test_unequal_updates_and_another_goal_are_told(front):
    put(sized("longer", GOOD, 1000, [3000] * 3))
    longer = ask(system={"recipe": "longer"}, front=FRONT)
    assert claim_pages.front_table([longer])[1][2] == "3,000; references 1,500"
    other = ask(goal={"recipe": "longer"}, teacher={"role": "teacher", "recipe": "teacher"}, front=FRONT)
    row = claim_pages.front_table([other])[1]
    assert row[3] == "5.00 (1)" and row[7].endswith("], to longer") and row[7].startswith("100 %")


def test_named_claims_in_their_order(front):
    rows = claim_pages.short_table([front, ask(name="two", system={"recipe": "alike"})], ["two", "one", "one"])
    assert [row[1].partition(":")[0] for row in rows] == ["system", "alike", "taught", "taught"]
    assert rows[2][0] == "test, beam, WER" and rows[2][-1] == "confirmed"
    with pytest.raises(KeyError, match="three"):
        claim_pages.short_table([front], ["three"])


def test_two_claims_of_one_name_are_refused(capsys):
    ask(name="one")
    text = Path("c.yaml").read_text()
    Path("c.yaml").write_text(text + text.partition("claims:\n")[2])
    assert main(["claims", "c.yaml", "-o", "out.md"]) == 1
    assert "claim 2 (Teaching | helps): another claim has the name 'one'" in capsys.readouterr().err


def test_better_is_higher_and_larger_is_further_right(front):
    teacher, alone, taught = claim_picture.marks(front)
    assert teacher.y < taught.y < alone.y  # pixels count downwards
    assert (taught.y - teacher.y) / (alone.y - teacher.y) == pytest.approx((14.444 - 5) / (31.667 - 5), 1e-3)
    assert teacher.x > taught.x == alone.x == claim_picture.LEFT
    sides = [claims.Side("x", ["1"], BLEU.linear([[(8, 8, right, 4, 3, 2, 8, 7, 6, 5)]]), 10) for right in (6, 3, 5)]
    bleu = claims.Judged("c", ("t",), "beam", "better", BLEU, sides[2], sides[1], None, None, None, sides[0])
    teacher, alone, taught = claim_picture.marks(bleu)
    assert teacher.y < taught.y < alone.y


def test_the_picture_stands_by_itself(front, capsys):
    assert main(["claims", "c.yaml", "--picture", "p.svg"]) == 0
    root = ET.parse("p.svg").getroot()
    said = "".join(root.itertext())
    assert "speech <1>" in said and "taught 14.4" in said and "teacher 5.0" in said
    assert "prefers-color-scheme: dark" in said
    assert "1k" in said and "4k" in said  # parameters


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "no claim has a panel; give one of them"),
        ({"front": {"row": "x"}}, "no claim has a panel"),
        ({"front": FRONT, "goal": None}, "has a panel but no teacher of known size"),
        ({"front": {"row": "x", "pannel": "y"}}, "front: has no key 'pannel'; expected panel"),
        ({"front": {"panel": "y"}}, "has no 'claims[0].front.row'"),
    ],
)
def test_what_no_picture_can_be_made_of_is_said(changes, said, capsys):
    with contextlib.suppress(UserError):  # the command says it, too
        ask(**changes)
    assert main(["claims", "c.yaml", "--picture", "p.svg"]) == 1
    assert said in capsys.readouterr().err and not Path("p.svg").exists()


def test_a_command_that_would_write_nothing(capsys):
    assert main(["claims", "c.yaml"]) == 1
    assert "nothing to write" in capsys.readouterr().err


def test_percent_of_a_share():
    assert claim_pages._interval(Joint(0, -12.4, 40.6, 3, 0), ".0f") == "[-12, 41]"
