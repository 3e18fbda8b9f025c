"""What a run shows: few plain lines in a file or pipe; on a terminal a line a stage and one that is redrawn."""

import os
import pty
import re
import subprocess
import sys
import termios
import time

import pytest

from kdasr.recipe import screen as screens
from kdasr.recipe.screen import Screen, belongs, listening, understood

ERASE = "\r\x1b[K"


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr(screens.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  exp/t: epoch 3 of 12, validation acc 0.9, about 5 min left", ("exp/t", "epoch 3 of 12", 0.25, "5 min")),
        ("  dev: features: utterance 9 of 9, about 0 s left", ("dev: features", "utterance 9 of 9", 1.0, "0 s")),
        ("exp/t: epoch 1 of 4, validation", ("exp/t", "epoch 1 of 4", 0.25, "")),
        ("exp/t: epoch 0 of 0", None),
        ("hello", None),
    ],
)
def test_what_is_understood(line, told):
    found = understood(line)
    assert (found and (found.title, found.at, found.share, found.left)) == told


@pytest.mark.parametrize(
    ("title", "out", "is_so"),
    [
        ("exp/t", "exp/t", True),
        ("dev: features", "dump/fbank/dev", True),
        ("data: speaking", "data", True),
        ("exp/t2", "exp/t", False),
        ("dev_clean: features", "dump/fbank/dev", False),
    ],
)
def test_whose_progress_it_is(title, out, is_so):
    assert belongs(title, out) == is_so


def test_plain_lines_on_progress_are_few(clock, capsys):
    """One now, then none for two minutes; later none for a tenth of the time since the run began."""
    shown = Screen()
    for second in (0, 60, 119, 120, 200, 240, 3600, 3900, 3959, 4100):
        clock[0] = 1000 + second
        shown.hear(f"  exp/t: epoch {second} of 9999, about 5 min left\n")
    told = [int(line.split()[2]) for line in capsys.readouterr().out.splitlines()]
    assert told == [0, 120, 240, 3600, 4100]


def test_many_equal_steps_are_counted_with_the_time_left_in_plain_lines(clock, capsys):
    shown = Screen()
    shown.stage(6, "decode", "every model transcribes", "reads a, writes b")
    shown.steps(10, 2, alike=True)
    for number in range(8):
        shown.begins(f"s{number}", f"s{number}: decoding", "decode", of_stage=True)
        clock[0] += 50
        shown.ends(f"s{number}")
    lines = [line.partition(" (decode) ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "stage 6 (decode), every model transcribes: reads a, writes b",
        "2 of 10 were done already",
        "3 of 10 done, about 6 min left",  # seven more, 50 s each
        "6 of 10 done, about 3 min left",
        "9 of 10 done, about 50 s left",
        "10 of 10 done",
    ]


class Terminal:
    """In the place of a terminal of 60 columns."""

    encoding = "utf-8"

    def __init__(self, monkeypatch):
        self.written = ""
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(screens.os, "get_terminal_size", lambda _: os.terminal_size((60, 24)))

    def isatty(self):
        return True

    def fileno(self):
        return 1

    def write(self, text):
        self.written += text

    def flush(self):
        pass


def test_the_line_that_is_redrawn(clock, monkeypatch):
    terminal = Terminal(monkeypatch)
    shown = Screen(terminal)
    shown.stage(3, "teacher", "the large model", "reads a, writes b")
    shown.steps(4, 0, alike=False)
    shown.begins("exp/t", "exp/t: training (teacher), log in x", "teacher", of_stage=True)
    shown.begins("exp/s", "exp/s: training", "student", of_stage=False)
    clock[0] += 12
    shown.tick()
    empty, indent = "░" * 20, " " * 12
    assert terminal.written == f" 3 teacher  the large model\n{ERASE}{indent}{empty} 0 of 4 done, 12 s so far: "
    shown.hear("  exp/s: epoch 1 of 2, about 1 min left\n")  # beside the stage: not what it waits for
    shown.hear("  exp/t: epoch 3 of 4, about 2 min left\n")
    clock[0] += 0.1
    shown.tick()
    assert terminal.written.count(ERASE) == 1  # five times a second is enough
    clock[0] += 0.2
    shown.tick()
    assert terminal.written.endswith(f"{ERASE}{indent}{'█' * 15}{'░' * 5} 0 of 4 done, about 2 min l")
    shown.say("a line that stays")
    assert terminal.written.endswith(f"{ERASE}{indent}a line that stays\n")
    shown.ends("exp/t")
    shown.done_already("a", "teacher")
    clock[0] += 100
    shown.tick()
    assert f"{'█' * 10}{'░' * 10} 2 of 4 done" in terminal.written.rpartition(ERASE)[2]
    shown.stage_ends()
    assert terminal.written.endswith(f"{ERASE}{indent}done in 2 min, 1 of 4 steps were done before\n")
    shown.tick()
    assert terminal.written.endswith("done before\n")  # nothing is drawn between stages


def test_the_time_left_of_equal_steps_is_by_those_that_have_ended(clock, monkeypatch):
    shown = Screen(Terminal(monkeypatch))
    shown.stage(6, "decode", "", "")
    shown.steps(12, 2, alike=True)
    assert "12 done, 0 s so far" in shown.line(80)
    for number in range(4):
        shown.begins(str(number), "", "", of_stage=True)
        clock[0] += 10
        shown.ends(str(number))
    assert "6 of 12 done, about 60 s left" in shown.line(80)
    clock[0] += 7
    assert "6 of 12 done, about 53 s left" in shown.line(80)
    clock[0] += 70
    assert "6 of 12 done, about 1 s left" in shown.line(80)


def test_without_these_characters_the_bar_is_of_others(monkeypatch):
    terminal = Terminal(monkeypatch)
    terminal.encoding = "ascii"
    shown = Screen(terminal)
    shown.stage(1, "a", "", "")
    shown.steps(2, 1, alike=False)
    assert "##########----------" in shown.line(80)


def test_what_nobody_looks_at_is_still_read(monkeypatch):
    """A pipe that was closed, as by head: commands go on, and the run is listened to."""
    shown = Screen()
    heard = []

    def hear(line):
        heard.append(line)
        raise BrokenPipeError

    monkeypatch.setattr(shown, "hear", hear)
    with listening(shown):
        for number in range(3):
            with open(os.environ["KDASR_PROGRESS"], "a") as stream:
                stream.write(f"{number}\n")
            time.sleep(0.02)
    assert heard == ["0\n", "1\n", "2\n"] and "KDASR_PROGRESS" not in os.environ


WHOLE = """
import sys
from kdasr.recipe.execute import execute
from kdasr.recipe.step import Command, Step
from kdasr.recipe.work import Work
script = 'echo "  a: epoch 3 of 4, about 2 min left" >$KDASR_PROGRESS; sleep 1; echo a warning >&2; sleep 1'
script += '; exit ' + sys.argv[1]
step = Step(1, "a", (Command(("sh", "-c", script), on="here"),), {}, (), "a: training, log in a/log")
work = Work(("x",), [1], lambda _: [step], lambda _: "reads b, writes a", "exp", 1, "./run.sh", purposes=("to learn",),
    closing=lambda: ["", "Look at it: page"])
sys.exit(execute(work, {"here": ("env",)}))
"""


def on_a_terminal(words, directory):
    """The exit status of a program that runs on a terminal of 80 columns, and what it wrote there."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(directory)
        os.environ["TERM"] = "xterm"
        os.execv(words[0], words)
    termios.tcsetwinsize(terminal, (24, 80))
    written = b""
    while True:
        try:
            written += os.read(terminal, 65536)
        except OSError:  # it has ended
            break
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), written.decode().replace("\r\n", "\n")


def left_standing(written):
    """The lines as they stand on the terminal in the end."""
    return [line.rpartition(ERASE)[2] for line in written.removesuffix("\n").split("\n")]


@pytest.mark.parametrize("status", [0, 3])
def test_a_whole_run_on_a_terminal(tmp_path, status):
    (tmp_path / "a").mkdir()
    code, written = on_a_terminal([sys.executable, "-c", WHOLE, str(status)], tmp_path)
    assert f"{ERASE}            {'█' * 15}{'░' * 5} about 2 min left: a, epoch 3 of 4" in written
    lines = left_standing(written)
    assert lines[:3] == ["./run.sh", " 1 x        to learn", "a warning"]
    if status:
        assert code == 1 and re.fullmatch(r"[-T:\d]+ \(x\) ERROR: stopped in stage 1 .*goes on", lines[3])
        assert len(lines) == 4
    else:
        assert code == 0 and lines[5:] == ["", "Look at it: page"]
        assert re.fullmatch(r" {12}done in \d+ s", lines[3]) and re.fullmatch(r"finished, \d+ s", lines[4])


def test_the_same_run_in_a_pipe(tmp_path):
    (tmp_path / "a").mkdir()
    done = subprocess.run([sys.executable, "-c", WHOLE, "0"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    lines = [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d ", "", line) for line in done.stdout.splitlines()]
    lines[4] = re.sub(r"\d+", "N", lines[4])
    assert lines == [
        "(run) ./run.sh",
        "(x) stage 1 (x), to learn: reads b, writes a",
        "(x) a: training, log in a/log",
        "  a: epoch 3 of 4, about 2 min left",
        "(run) finished, N s",
        "",
        "Look at it: page",
    ]
    assert done.stderr == "a warning\n" and "\x1b" not in done.stdout
