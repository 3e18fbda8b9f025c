#!/usr/bin/env python3
"""utils/slurm.py in figures: how soon it reports, what it costs, how often it calls SLURM's controller.

Examples:
  tools/venv/bin/python tools/bench_slurm.py                      # everything, on a cluster of its own (ten minutes)
  tools/venv/bin/python tools/bench_slurm.py --only report --times 10 --after 60
  tools/venv/bin/python tools/bench_slurm.py --only calls --minutes 5 --elements 1000
  SLURM_CONF=... tools/venv/bin/python tools/bench_slurm.py       # on the cluster that this names

Figures:
  report    seconds from scancel, of a job or of one element, and from kill -9 of a batch script (on a cluster of
            this machine only), until slurm.py has said so; the moment within its round of questions is drawn at random
  overhead  seconds of an array of four jobs that do nothing, two at a time, as Kaldi's --max-jobs-run 2
  calls     calls of squeue, scontrol, sinfo and sacct in any minute while an array is waited for
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SLURM_PY = ROOT / "utils/slurm.py"
CLUSTER = ROOT / "tools/slurm_test_cluster.sh"
COMMANDS = ("squeue", "scontrol", "sinfo", "sacct")
COUNTING = '#!/bin/sh\ndate +%s.%N >>"{calls}"\nexec "{program}" "$@"\n'


def start(folder: Path, *words: str, path: str = "") -> subprocess.Popen[str]:
    """Start slurm.py in a folder of its own."""
    folder.mkdir(parents=True)
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
    return subprocess.Popen([SLURM_PY, *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until this holds, two minutes at most."""
    until = time.monotonic() + 120
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"bench_slurm.py: waited two minutes for {what}")
        time.sleep(0.05)


def reported(folder: Path, end: str, after: float) -> float:
    """Seconds until the first word of slurm.py after a job of its was ended in this way."""
    array = [] if end == "scancel of a job" else ["JOB=1:3"]
    log = "x.JOB.log" if array else "x.log"
    process = start(folder, *array, log, "bash", "-c", 'echo $PPID >"pid.JOB"; exec sleep 3600')
    last = folder / ("pid.2" if array else "pid.JOB")
    wait_for(lambda: last.exists() and last.read_text().strip() != "", f"a job to begin in {folder}")
    time.sleep(after + random.uniform(0, 10))
    job = next(folder.glob("q/*/id")).read_text().strip()
    began = time.monotonic()
    if end == "kill -9 of a batch script":
        os.kill(int(last.read_text()), signal.SIGKILL)
    else:
        subprocess.run(["scancel", f"{job}_2" if array else job], check=True)
    assert process.stderr
    process.stderr.readline()
    seconds = time.monotonic() - began
    process.communicate()
    return seconds


def report(folder: Path, times: int, after: float) -> list[str]:
    """Rows on the time until a failure is reported."""
    ends = ["scancel of a job", "scancel of an element"]
    if "SLURM_CONF" in os.environ and str(Path(os.environ["SLURM_CONF"]).parent) == os.environ.get("KDASR_SLURM_LAB"):
        ends.append("kill -9 of a batch script")
    rows = []
    for end in ends:
        seconds = [reported(folder / f"{end}.{number}", end, after) for number in range(times)]
        rows.append(row(f"{end} is reported", seconds))
    return rows


def overhead(folder: Path, times: int) -> list[str]:
    """A row on an array of short jobs."""
    seconds = []
    for number in range(times):
        began = time.monotonic()
        process = start(folder / f"array.{number}", "--max-jobs-run", "2", "JOB=1:4", "x.JOB.log", "true")
        _, said = process.communicate()
        if process.returncode:
            sys.exit(f"bench_slurm.py: {said}")
        seconds.append(time.monotonic() - began)
    return [row("array of 4 jobs that do nothing, 2 at a time", seconds)]


def row(name: str, seconds: list[float]) -> str:
    """A row of the table."""
    return f"| {name} | {statistics.median(seconds):.1f} s | {max(seconds):.1f} s | {len(seconds)} times |"


def calls(folder: Path, minutes: float, elements: int) -> list[str]:
    """A row on the calls to the controller while an array is waited for."""
    bin_dir = folder / "bin"
    bin_dir.mkdir(parents=True)
    counted = folder / "calls"
    for name in COMMANDS:
        program = shutil.which(name)
        if program:
            (bin_dir / name).write_text(COUNTING.format(calls=counted, program=program))
            (bin_dir / name).chmod(0o755)
    words = ["--max-jobs-run", "2", f"JOB=1:{elements}", "x.JOB.log", "sleep", "10"]
    began = time.time()
    process = start(folder / "array", *words, path=str(bin_dir))
    try:
        process.wait(60 * minutes)
    except subprocess.TimeoutExpired:
        ended = time.time()
        moments = [float(word) for word in counted.read_text().split()]
        process.send_signal(signal.SIGINT)
        process.communicate()
    else:
        sys.exit(f"bench_slurm.py: the array ended: {process.communicate()[1]}")
    most = max(sum(first <= moment < first + 60 for moment in moments) for first in moments)
    mean = 60 * len(moments) / (ended - began)
    name = f"calls to the controller a minute, array of {elements}"
    return [f"| {name} | {mean:.1f} | {most} | {minutes:g} minutes |"]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=["report", "overhead", "calls"], default=None, help="these figures"
    )
    parser.add_argument("--times", type=int, default=5, help="repetitions of report and overhead")
    parser.add_argument("--after", type=float, default=2.0, help="seconds that a job of report has run at least")
    parser.add_argument("--minutes", type=float, default=3.0, help="length of the wait of calls")
    parser.add_argument("--elements", type=int, default=1000, help="size of the array of calls")
    options = parser.parse_args()
    own = "SLURM_CONF" not in os.environ
    if own:
        os.environ["KDASR_SLURM_LAB"] = tempfile.mkdtemp(prefix="kdasr-slurm-bench-")
        os.environ["SLURM_CONF"] = f"{os.environ['KDASR_SLURM_LAB']}/slurm.conf"
        subprocess.run([CLUSTER, "start"], check=True, stdout=subprocess.DEVNULL)
    chosen = options.only or ["report", "overhead", "calls"]
    try:
        with tempfile.TemporaryDirectory(prefix="bench-slurm-") as name:
            folder = Path(name)
            print("| | median (mean) | largest | |\n|---|---|---|---|", flush=True)
            rows = []
            if "report" in chosen:
                rows += report(folder / "report", options.times, options.after)
                print("\n".join(rows), flush=True)
            if "overhead" in chosen:
                print("\n".join(overhead(folder / "overhead", options.times)), flush=True)
            if "calls" in chosen:
                print("\n".join(calls(folder / "calls", options.minutes, options.elements)), flush=True)
    finally:
        if own:
            subprocess.run([CLUSTER, "stop"], check=False)


if __name__ == "__main__":
    main()
