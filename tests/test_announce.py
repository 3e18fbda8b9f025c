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


def test_a_line_a_second_and_the_rest_at_the_rate_since_the_first(clock, tmp_path, monkeypatch):
    place = tmp_path / "screen"
    place.touch()
    monkeypatch.setenv("KDASR_PROGRESS", str(place))
    pace = Pace("dev: features", "utterance", 100)
    for second, done in ((19.0, 0), (20.0, 5), (20.5, 6), (22.0, 9), (22.5, 10), (23.0, 17), (23.5, 40), (320.0, 55)):
        clock[0] = 1000 + second
        pace.done(done)
    assert place.read_text().splitlines() == [
        "  dev: features: utterance 5 of 100",
        "  dev: features: utterance 9 of 100",  # 6 came too soon behind 5
        "  dev: features: utterance 17 of 100, about 21 s left",  # 83 more, 0.25 s each; 20 s of start are not counted
        "  dev: features: utterance 55 of 100, about 4 min left",  # 45 more, 6 s each
    ]


def test_no_time_is_told_by_what_was_all_done_at_once(clock, tmp_path, monkeypatch):
    place = tmp_path / "screen"
    place.touch()
    monkeypatch.setenv("KDASR_PROGRESS", str(place))
    pace = Pace("nbest", "utterance", 100)
    for second in (2, 9):
        clock[0] = 1000 + second
        pace.done(50)
    assert place.read_text().splitlines() == 2 * ["  nbest: utterance 50 of 100"]


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
