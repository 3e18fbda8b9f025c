"""What a run shows. On a terminal: a line a stage, and below it one that is redrawn; elsewhere plain lines, few."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import TextIO

from kdasr.announce import lasting

BAR = 20  # characters
REDRAWN = 0.2  # seconds between two drawings
QUIET = 120.0  # seconds, at least, between two plain lines on how far the work is, ...
SHARE = 0.1  # ... and this share of the time since the run began: a run of days has no longer log than one of hours
INDENT = " " * 12  # of what stands below a stage's line: its number and name
HEARD = re.compile(r"\s*(?P<title>.+?): (?P<at>\w+ (?P<done>\d+) of (?P<total>\d+))\b(?:.*, about (?P<left>.+) left)?")


def log(said: str, about: str = "") -> None:
    """A line with the time, as Kaldi's scripts write it."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} ({about or 'run'}) {said}", flush=True)


def refuse(said: str, about: str = "") -> None:
    """The line of an error."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} ({about or 'run'}) ERROR: {said}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Heard:
    """How far a command said it is."""

    title: str
    at: str  # epoch 3 of 40
    share: float  # of it that is done
    left: str  # 5 min; empty where it is not known


def understood(line: str) -> Heard | None:
    """What a line of `kdasr.announce` says; None where it is another."""
    found = HEARD.match(line)
    if not found or not int(found["total"]):
        return None
    share = min(1.0, int(found["done"]) / int(found["total"]))
    return Heard(found["title"], found["at"], share, found["left"] or "")


class Screen:
    """Where a run is shown. Threads may call it; what is asked for is drawn by `tick`, which the run calls often."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.terminal = self.stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.guard = threading.RLock()
        self.began = time.monotonic()
        self.told = float("-inf")  # when the last plain line on how far the work is was written
        self.drawn = ""  # the line that is redrawn, as it is on the terminal now
        self.drawn_at = 0.0
        self.heard: dict[str, Heard] = {}
        self.stage_began = self.last_end = self.began
        self.title = ""  # of the stage; empty between two
        self.total = self.before = self.after = 0  # steps of the stage; done before, and done now
        self.alike = False  # whether they take about as long
        self.running: list[tuple[str, str]] = []  # steps of the stage: what they finish, what is said of them

    def say(self, said: str, about: str = "") -> None:
        """A line that stays."""
        with self.guard:
            if self.terminal:
                self.text(f"{INDENT if self.title else ''}{said}\n")
            else:
                log(said, about)

    def text(self, text: str) -> None:
        """A text that stays as it is: a table, a line of a log."""
        with self.guard:
            if text:
                self.erase()
                print(text, end="", file=self.stream, flush=True)

    def lines(self, text: str) -> None:
        """Lines of a log."""
        self.text(text if not self.terminal else "".join(f"{INDENT}{line.strip()}\n" for line in text.splitlines()))

    def refuse(self, said: str, about: str = "") -> None:
        """An error."""
        with self.guard:
            self.erase()
            refuse(said, about)

    def passed_on(self, line: str) -> None:
        """A line that a command wrote to its standard error."""
        with self.guard:
            self.erase()
            print(line, end="", file=sys.stderr, flush=True)

    def stage(self, number: int, name: str, purpose: str, about: str) -> None:
        """A stage begins: what it is for, what it reads and writes."""
        with self.guard:
            if self.terminal:
                self.text(f"{number:>2} {name:<9}{purpose or about}\n")
            else:
                log(f"stage {number} ({name}){', ' if purpose else ''}{purpose}: {about}", name)
            self.title, self.stage_began = name, time.monotonic()
            self.last_end = self.stage_began
            self.total = self.before = self.after = 0
            self.running = []

    def steps(self, total: int, before: int, alike: bool) -> None:
        """How many steps the stage has, how many of them were done before, and whether they take about as long."""
        with self.guard:
            self.total, self.before, self.alike = total, before, alike
            if alike and not self.terminal:
                log(f"{before} of {total} were done already", self.title)

    def begins(self, out: str, said: str, about: str, of_stage: bool) -> None:
        """A step begins; `of_stage`: of this stage, not one that runs beside it."""
        with self.guard:
            if of_stage:
                self.running.append((out, said))
            if said and not self.terminal and not (of_stage and self.alike):
                log(said, about)

    def joins(self, out: str, said: str) -> None:
        """A step that was begun beside an earlier stage is of this one."""
        with self.guard:
            self.running.insert(0, (out, said))

    def ends(self, out: str) -> None:
        """A step has ended."""
        with self.guard:
            ours = [one for one in self.running if one[0] == out]
            self.running = [one for one in self.running if one[0] != out]
            self.after += len(ours)
            self.last_end = time.monotonic()
            if ours and self.alike and not self.terminal and (self.after + self.before == self.total or self.due()):
                log(f"{self.after + self.before} of {self.total} done{self.left()}", self.title)

    def done_already(self, outs: str, about: str) -> None:
        """A step need not be done again; `outs` is empty where it is not worth a line."""
        with self.guard:
            self.before += 1
            if outs and not self.terminal:
                log(f"{outs}: done already", about)

    def stage_ends(self) -> None:
        """The stage has ended well."""
        with self.guard:
            if self.terminal and self.title:
                spent = lasting(time.monotonic() - self.stage_began)
                before = f", {self.before} of {self.total} steps were done before" if self.before else ""
                said = "done before" if self.before and not self.after else f"done in {spent}{before}"
                self.text(f"{INDENT}{said}\n")
            self.title, self.running, self.alike = "", [], False

    def hear(self, line: str) -> None:
        """A command says how far it is."""
        with self.guard:
            if told := understood(line):
                self.heard[told.title] = told
            if not self.terminal and self.due():
                print(line.rstrip("\n"), file=self.stream, flush=True)

    def due(self) -> bool:
        """Whether it is time for a plain line on how far the work is; it then counts as written."""
        now = time.monotonic()
        if now - self.told < max(QUIET, SHARE * (now - self.began)):
            return False
        self.told = now
        return True

    def left(self) -> str:
        """How long the rest of the stage's steps may take, where they are alike and some are done."""
        rest = self.total - self.before - self.after
        if not (self.alike and self.after and rest):
            return ""
        each = (self.last_end - self.stage_began) / self.after
        return f", about {lasting(max(1.0, each * rest - (time.monotonic() - self.last_end)))} left"

    def tick(self) -> None:
        """Redraw the line, if there is one and it is time."""
        now = time.monotonic()
        if not self.terminal or not self.title or now - self.drawn_at < REDRAWN:
            return
        with self.guard:
            line = self.line(os.get_terminal_size(self.stream.fileno()).columns)
            if line != self.drawn:
                print(f"\r\x1b[K{line}", end="", file=self.stream, flush=True)
            self.drawn, self.drawn_at = line, now

    def line(self, width: int) -> str:
        """The line that is redrawn: a bar, how far, how long, what; cut at the width of the terminal."""
        told = [one for out, _ in self.running for one in self.heard.values() if belongs(one.title, out)]
        least = min(told, key=lambda one: one.share, default=None)  # what the stage waits for
        done = self.before + self.after
        share = done / self.total if self.total else 0.0
        parts = [f"{done} of {self.total} done"] if self.total > 1 else []
        if self.alike or least is None:
            left = self.left()
            parts.append(left.removeprefix(", ") or f"{lasting(time.monotonic() - self.stage_began)} so far")
            out, says = self.running[-1] if self.running else ("", "")
            says = says.partition(", log in ")[0]
            if not self.alike:
                says = says.replace(f"{out}:", f"{PurePath(out).name}:", 1)
        else:
            share = least.share
            parts += [f"about {least.left} left"] if least.left else []
            says = f"{PurePath(least.title).name}, {least.at}"
        full = round(share * BAR)
        solid, empty = ("█", "░") if speaks(self.stream, "█░") else ("#", "-")
        line = f"{INDENT}{solid * full}{empty * (BAR - full)} {', '.join(parts)}{': ' if says else ''}{says}"
        return line[: max(1, width - 1)]

    def erase(self) -> None:
        """Take the line that is redrawn away."""
        with self.guard:
            if self.drawn:
                print("\r\x1b[K", end="", file=self.stream, flush=True)
            self.drawn, self.drawn_at = "", 0.0


def belongs(title: str, out: str) -> bool:
    """Whether a command that calls itself so works on this directory: by its path, or by its name."""
    return title == out or title.partition(":")[0] in (out, PurePath(out).name)


def speaks(stream: TextIO, text: str) -> bool:
    """Whether a stream's encoding has these characters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


@contextmanager
def listening(screen: Screen) -> Iterator[None]:
    """Commands of this machine find in KDASR_PROGRESS where they can say how far they are."""
    reading, writing = os.pipe()

    def read() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                with suppress(OSError, ValueError):  # nobody looks any more; what is written still has to be read
                    screen.hear(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    os.environ["KDASR_PROGRESS"] = f"/proc/{os.getpid()}/fd/{writing}"
    try:
        yield
    finally:
        del os.environ["KDASR_PROGRESS"]
        os.close(writing)
        reader.join(1.0)  # a command that is being killed may still have it open
