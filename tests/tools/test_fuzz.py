"""tools/fuzz.py: that it would notice each kind of failure; and a few trials of all that kdasr reads."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import fuzz
import fuzz_inputs
from fuzz_damage import draw
from fuzz_inputs import OWN_SUM, SHA256, Reader

from kdasr.errors import UserError

FILE = "part/file"
VALID = bytes(range(97, 123)) * 4
LIMITS = fuzz.Limits(trials=12, seconds=20, patience=1.0, memory=1.0)


def reader(read, checked=""):
    return Reader("made", FILE, ("part",), read, checked)


def refusing():
    """As a reader should be: whatever is not the valid input is refused."""
    path = Path(FILE)
    if not path.is_file() or path.read_bytes() != VALID:
        raise UserError(f"{FILE}: damaged")
    return VALID


def or_else(act):
    """A reader that does something bad with what is not the valid input."""

    def read():
        try:
            return refusing()
        except UserError:
            return act()

    return read


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """Counts of the outcomes of a reader's trials, and the tally."""
    monkeypatch.setattr(fuzz_inputs, "part_part", lambda: Path(FILE).write_bytes(VALID), raising=False)

    def run(read, checked="", limits=LIMITS, keep=None):
        tally = fuzz.fuzz([reader(read, checked)], 1, limits, keep=keep)
        return dict(tally.counts["made"]), tally

    return run


def test_what_is_refused_is_an_error(tried):
    counts, tally = tried(refusing)
    assert counts == {"error": 12} and not tally.groups


def test_what_gives_the_same_is_fine(tried):
    counts, tally = tried(lambda: "always")
    assert counts == {"fine": 12} and not tally.groups


def test_what_gives_something_else_fails_where_there_is_a_checksum(tried, tmp_path):
    counts, tally = tried(or_else(lambda: "something"))
    assert counts == {"other result": 12} and not tally.groups
    counts, tally = tried(or_else(lambda: "something"), checked=SHA256, keep=tmp_path / "kept")
    assert counts == {"other result": 12} and sum(tally.groups.values()) == 12
    assert "12  other result  made: " in tally.causes()[0] and "absent (1), empty (1)" in tally.causes()[0]
    _, own = tried(or_else(lambda: "something"), checked=OWN_SUM)
    assert {cause for _, _, cause in own.groups} <= {*fuzz.ONE_PLACE} and 0 < len(own.groups) < len(tally.groups)
    line = (tmp_path / "kept/reproduce.txt").read_text().splitlines()[-1]
    assert line.startswith("tools/fuzz.py --only made --replay ") and "# other result" in line
    kept = Path(line.split()[4])
    assert kept.read_bytes() != VALID
    assert fuzz.replay(reader(or_else(lambda: "something")), kept, LIMITS).outcome == "other result"
    assert fuzz.replay(reader(refusing), kept, LIMITS).outcome == "error"


@pytest.mark.parametrize(
    ("act", "cause"),
    [
        (lambda: {}["key"], "KeyError"),
        (lambda: bytes(8 << 30), "MemoryError"),
        (lambda: sys.exit(1), "SystemExit"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "exit -11"),
        (lambda: os._exit(0), "exit 0"),
        (fuzz_inputs.command("score --ref"), "SystemExit"),
    ],
)
def test_other_exceptions_and_the_interpreters_end_are_tracebacks(tried, act, cause):
    counts, tally = tried(or_else(act))
    assert counts == {"traceback": 12}
    assert cause in tally.causes()[0]


def test_what_gives_no_answer_hangs(tried):
    limits = LIMITS._replace(patience=0.3)
    counts, tally = tried(or_else(lambda: time.sleep(99)), limits=limits)
    assert counts == {"hang": fuzz.HANGS}  # and then it is left alone
    assert sum(tally.groups.values()) == fuzz.HANGS


def test_a_pipe_is_waited_for_once(tried):
    def read():
        with open(FILE, "rb") as stream:
            return stream.read()

    counts, tally = tried(read)
    assert counts["hang"] == 1 and counts["other result"] >= 7
    assert "no answer" in tally.causes()[0]


def test_a_reader_that_cannot_read_its_valid_input_fails(tried):
    counts, tally = tried(or_else(lambda: {}["key"]), limits=LIMITS._replace(trials=2))
    assert counts == {"traceback": 2}

    def never():
        raise UserError("no")

    counts, tally = tried(never)
    assert counts == {"traceback": 1} and "valid input cannot be read" in tally.causes()[0]


def test_a_command_says_one_line_or_is_unclear(monkeypatch, capsys):
    def told(text, status=1):
        def main(words):
            sys.stderr.write(text)
            return status

        monkeypatch.setattr(fuzz_inputs, "kdasr", main)
        return fuzz_inputs.command("lm ppl --model m")

    with pytest.raises(UserError, match="correct it"):
        told("kdasr lm ppl: correct it\n")()
    for text in ("", "kdasr lm ppl: two\nlines\n", "Traceback\n", "kdasr ppl: of another command\n"):
        with pytest.raises(fuzz_inputs.Unclear):
            told(text)()


def test_damage_is_that_of_the_seed():
    files = {FILE: VALID, "part/other": b"{}"}
    one, again, other = ([draw(seed, reader(refusing), files, trial) for trial in range(60)] for seed in (1, 1, 2))
    assert one == again != other
    assert [damage.kind for damage in one[:4]] == ["absent", "file", "directory", "pipe"]
    assert sum(damage.data == VALID for damage in one) < 6  # nearly all do something


def test_nothing_that_is_read_ends_in_a_traceback_or_is_changed_unnoticed():
    """All readers, a few trials each; `tools/fuzz.py --seconds 600` tries more."""
    readers = fuzz_inputs.readers()
    assert len({one.name for one in readers}) == len(readers)
    limits = fuzz.Limits(trials=12, seconds=0.2, patience=10, memory=2.0)
    tally = fuzz.fuzz(readers, 1, limits)
    assert tally.counts.keys() == {one.name for one in readers}
    assert not tally.groups, "\n".join(["", *tally.causes()])


def test_a_place_is_of_the_package_and_not_of_a_clone_that_is_called_like_it():
    package = Path(fuzz.__file__).parents[1] / "kdasr"
    frames = [(f"{package}/score/trn.py", 7), (f"{package.parent}/tools/kdasr/venv/lib/numpy/x.py", 9)]
    assert fuzz.place_of(frames) == "kdasr/score/trn.py:7"
    assert fuzz.place_of(frames[1:]) == "numpy/x.py:9"
