"""Seconds by part and counts of rows."""

import time
from pathlib import Path

import pytest

from kdasr.search.watch import Watch


def test_counts_and_seconds_add_up():
    watch = Watch()
    assert watch.totals() == {}
    for steps, rows, alive in ((1, 3, 3), (8, 24, 16)):
        watch.count(steps, rows, alive)
    assert (watch.steps, watch.rows, watch.alive) == (9, 27, 19)
    for part in ("ctc", "decoder", "ctc"):
        with watch.clock(part):
            time.sleep(0.001)
    first = watch.totals()
    assert set(first) == {"ctc", "decoder"} and first["ctc"] >= 0.002 and first["decoder"] >= 0.001
    with watch.clock("decoder"):
        time.sleep(0.001)
    assert watch.totals()["decoder"] >= first["decoder"] + 0.001 and watch.totals()["ctc"] == first["ctc"]


def test_memory_is_counted_in_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    assert Watch().peak_bytes() == pytest.approx(1024 * kilobytes, rel=0.1)
