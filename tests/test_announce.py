"""What a command tells the recipe of how far it is: when, and how long the rest may take."""

import os

import pytest

from kdasr import announce
from kdasr.announce import Pace, lasting


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr(announce.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1 h 30 min"), (9000, "2 h 30 min")],
)
def test_times_as_people_say_them(seconds, text):
    assert lasting(seconds) == text


def test_a_line_a_second_and_the_rest_at_the_rate_so_far(clock, tmp_path, monkeypatch):
    place = tmp_path / "screen"
    place.touch()
    monkeypatch.setenv("KDASR_PROGRESS", str(place))
    pace = Pace("dev: features", "utterance", 100)
    for second, done in ((2.9, 5), (3.0, 10), (3.5, 20), (4.0, 40), (300.0, 50)):
        clock[0] = 1000 + second
        pace.done(done)
    assert place.read_text().splitlines() == [
        "  dev: features: utterance 10 of 100, about 27 s left",  # 90 more, 0.3 s each
        "  dev: features: utterance 40 of 100, about 6 s left",
        "  dev: features: utterance 50 of 100, about 5 min left",
    ]


def test_nobody_is_waited_for(tmp_path, monkeypatch):
    """A pipe that nobody reads, and one that is full."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("KDASR_PROGRESS", str(tmp_path / "pipe"))
    announce.announce("x")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    for _ in range(200):
        announce.announce("y" * 2000)  # 200 kB; a pipe holds 64
    assert os.read(reader, 1003) == b"  " + b"y" * announce.LONGEST + b"\n"
    os.close(reader)
