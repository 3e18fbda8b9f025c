#!/usr/bin/env -S python3 -ES -X utf8
"""Run a command, or an array of them, as a job of SLURM, each with its output in a log (Kaldi's slurm.pl).

The command is started as it stands, word for word, without a shell, as by run.py. How it ended is told by a file
that the job itself leaves, and, where it could not, by SLURM; never by the text of a log. Nothing here needs
SLURM's accounting database.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jobs
import slurm_conf
import slurm_queue
import slurm_submit
from jobs import Options, WrongUsage
from slurm_queue import Element, Queue

USAGE = """\
Usage: slurm.py [options] [JOB=1:N] LOG COMMAND [ARGUMENT...]

  slurm.py --mem 8G --time 2:00:00 exp/log/train.log kdasr train --config conf/teacher.yaml ...
  slurm.py --max-jobs-run 20 JOB=1:100 exp/log/x.JOB.log program JOB
  slurm.py --gpu 1 JOB=1:4 exp/log/nbest.JOB.log kdasr nbest --job JOB/4 ...

JOB (any name) is replaced by the job's number in the log's name and in the arguments. Exit status: 0; that of the
first job found to have failed (1 where SLURM ended it), whose array is cancelled then; 2 for wrong usage, and where
SLURM does not take the job. All nodes have to see this directory, the log's, and the programs.

Options:
  --max-jobs-run N  jobs that run at once (default: as many as SLURM starts)
  --num-threads N   threads a job: sets OMP_NUM_THREADS, and asks for processors (default: 1)
  --gpu N           GPUs a job (default: 0)
  --mem X           memory a job, as in 8G
  --time T          time limit, as in 2:00:00
  --detach 1        print the job's number and return; nothing waits for the job, and its folder q/... stays, with its
                    exit status in exit.NUMBER (kdasr jobs reads it)
  --after ID        start when job ID has ended well; cancelled if it has not
  --conf FILE       what these options mean to sbatch here, with the site's partition and account, in the syntax
                    of Kaldi's slurm.pl (default: conf/slurm.conf, if it exists); further options that it
                    describes may be given, too

Ctrl-C cancels what was submitted, and so does the end of the recipe KDASR_RECIPE_PID. If slurm.py itself is killed,
its job goes on, and the same command, given again, waits for that one."""

# Seconds that an exit file may take to be seen after SLURM has said that the element has ended: file systems have
# caches. "" is an element that SLURM does not know.
GRACE = {"COMPLETED": 15.0, "FAILED": 2.0, "": 15.0}
DOUBT = (
    1.5  # seconds until squeue is called for an element that was stopped or killed: SLURM needs a moment to know why
)
NO_ANSWER = 20.0  # seconds after which a killed element is reported without SLURM's word
LONGEST_PAUSE = 1.0  # seconds between looks at the exit files
MOST_REASONS = 5  # failed jobs that are named one by one


class Exit(NamedTuple):
    """An exit file, as slurm_job.py leaves it."""

    code: int | None  # None: SLURM wanted the job to stop
    host: str
    id: str
    restarts: int


class Job:
    """What is known about one job of the array that has not ended well."""

    def __init__(self) -> None:
        self.left: Exit | None = None  # an exit file that does not say the reason: squeue has to be called
        self.left_at = 0.0  # when it was seen
        self.asked = False  # SLURM has answered since
        self.state = "PENDING"  # as SLURM has said last
        self.state_at = 0.0  # when it said so first
        self.restarts = 0
        self.node = ""

    def open_question(self) -> bool:
        """Whether squeue should be called about this job now."""
        return self.left is not None and not self.asked and time.monotonic() - self.left_at > DOUBT

    def overdue(self) -> bool:
        """Whether SLURM takes the job for ended for so long that an exit file would be seen by now."""
        return self.state in GRACE and time.monotonic() - self.state_at > GRACE[self.state]


class Watch:
    """What is known about all jobs of the array."""

    def __init__(self, options: Options, folder: Path, conf: str) -> None:
        self.options = options
        self.folder = folder
        self.conf = conf
        self.id = slurm_submit.job_of(folder)
        self.open = {number: Job() for number in range(options.first, options.last + 1)}
        self.failed: dict[int, int] = {}  # number -> exit status
        self.reasons: list[str] = []
        self.noted: set[str] = set()
        self.requeued = False

    def note(self, message: str) -> None:
        """Say something once."""
        if message not in self.noted:
            self.noted.add(message)
            jobs.say(message)

    def name(self, number: int) -> str:
        """A job as SLURM calls it."""
        return f"job {self.id}_{number}" if self.options.job_name else f"job {self.id}"

    def fail(self, number: int, code: int, what: str) -> None:
        """A job has failed."""
        self.failed[number] = code
        self.reasons.append(f"{self.name(number)} {what}")

    def look(self) -> None:
        """Read the exit files."""
        # a file that comes and goes makes NFS read the directory anew
        kick = self.folder / f"look.{os.getpid()}"
        with contextlib.suppress(OSError):
            kick.touch()
            kick.unlink()
        for name in os.listdir(self.folder):  # noqa: PTH208  names are enough
            kind, _, text = name.partition(".")
            job = self.open.get(int(text)) if kind == "exit" and text.isdecimal() else None
            if not job:
                continue
            number = int(text)
            try:
                left = Exit(**json.loads((self.folder / name).read_text(encoding="utf-8")))
            except (FileNotFoundError, ValueError):  # a new attempt removes it; NFS shows a file before its text
                continue
            if left.code == 0:
                del self.open[number]
            elif left.code is not None and left.code <= 128:
                self.fail(number, left.code, f"ended with status {left.code} on {left.host}")
            elif left != job.left and left.restarts >= job.restarts:
                job.left, job.left_at, job.asked = left, time.monotonic(), False
            elif left.code is not None and time.monotonic() - job.left_at > NO_ANSWER:
                self.killed(number, left.code)
        for number, job in self.open.items():
            if number in self.failed or not job.overdue():
                continue
            if job.left and job.left.code:
                self.killed(number, job.left.code)
            else:
                lost = slurm_queue.LOST if job.state else slurm_queue.FORGOTTEN
                self.fail(number, 1, lost.format(state=job.state, node=job.node, folder=self.folder))

    def hear(self, answer: dict[str, Element]) -> None:
        """Take in what SLURM says about the jobs."""
        for number, job in self.open.items():
            element = answer.get(str(number) if self.options.job_name else "N/A")
            state = element.state if element else ""
            if state != job.state:
                job.state, job.state_at = state, time.monotonic()
            if element is None:
                continue
            self.restarted(number, job, element)
            job.node = element.node or job.node
            if element.state in slurm_queue.REASONS:
                self.fail(number, 1, slurm_queue.REASONS[element.state].format(node=job.node, conf=self.conf))
            elif job.left and job.left.code and job.open_question():
                self.killed(number, job.left.code)
            elif element.state == "PENDING" and any(word in element.reason for word in slurm_queue.STUCK):
                self.note(
                    f"{self.name(number)} waits, perhaps for ever ({element.reason}): scontrol show job {self.id}"
                )
            job.asked = job.asked or job.open_question()

    def killed(self, number: int, code: int) -> None:
        """A job's command was killed, and SLURM says no more about it."""
        self.fail(number, code, slurm_queue.KILLED.format(code=code, signal=code - 128))

    def restarted(self, number: int, job: Job, element: Element) -> None:
        """Say so when SLURM has requeued a job, and why."""
        if element.restarts <= job.restarts:
            return
        if element.preempted:
            why = "preempted"
        elif job.left:
            why = "preempted, its node taken down, or by scontrol requeue"
        else:
            why = f"its node {job.node} died" if job.node else "its node died"
        job.restarts, job.left = element.restarts, None
        self.requeued = True
        self.note(f"{self.name(number)} was requeued by SLURM ({why}), and waits to run again")


def run(options: Options, conf: slurm_conf.Conf) -> int:
    """Submit the job, wait for its end, and return the exit status."""
    sbatch = slurm_conf.sbatch(conf, options.given)
    caught = jobs.catch_signals()
    parent = os.getppid()
    spec = slurm_submit.specification(options)
    folder = slurm_submit.left_behind(options, spec) or slurm_submit.submit(options, spec, sbatch, conf.name, caught)
    if slurm_submit.detached(options):
        print(slurm_submit.job_of(folder))
        return 0
    watch = Watch(options, folder, conf.name)
    queue = Queue(watch.id, folder)
    pause = 0.05  # seconds; grows, so that short jobs are seen at once and long ones cost the file system little
    while watch.open and not watch.failed and not caught:
        time.sleep(min(pause, 0.1) if queue.process else pause)
        pause = min(1.2 * pause, LONGEST_PAUSE)
        if jobs.parent_gone(parent):
            caught.append(signal.SIGTERM)
        try:
            watch.look()
            queue.ask(soon=any(job.open_question() for job in watch.open.values()))
            answer = queue.answer()
        except FileNotFoundError:
            jobs.say(f"{folder}: gone; without it the job's end cannot be known")
            caught.append(signal.SIGTERM)
            continue
        except OSError as error:  # a file system that is full or away for a while
            watch.note(f"{folder}: {error.strerror}; waiting on")
            continue
        if answer is not None and not watch.failed:
            watch.hear(answer)
        if queue.complaint:
            watch.note(f"SLURM's controller does not answer ({queue.complaint}); the jobs go on, waiting for them")
    queue.close()
    if caught:
        ended = end(watch.id, folder, caught)
        jobs.say(f"stopped by {signal.Signals(caught[0]).name}, {ended}: {options.log}")
        return 128 + caught[0]
    if watch.failed:
        logs = [options.words(options.log, number) for number in watch.failed]
        rest = len(watch.open) - len(watch.failed)
        reasons = watch.reasons[:MOST_REASONS]
        if len(watch.reasons) > MOST_REASONS:
            reasons.append(f"... and {len(watch.reasons) - MOST_REASONS} more")
        jobs.report(options, logs, f"{rest} cancelled" if rest else "", reasons)
        if rest:
            end(watch.id, folder, caught)
        return next(iter(watch.failed.values()))
    if watch.requeued:  # an attempt that had ended well after all is not to run again
        slurm_queue.ordered(["scancel", watch.id])
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are in it
        folder.parent.rmdir()
    return 0


def end(job: str, folder: Path, caught: list[int]) -> str:
    """Cancel a job; what to say about it."""
    with contextlib.suppress(OSError):
        (folder / "cancelled").touch()  # no process waits for it
    if slurm_queue.cancel(job, caught):
        return f"job {job} cancelled"
    return f"job {job} could NOT be cancelled (scancel {job})"


def main(words: Sequence[str]) -> int:
    """Run what the command line says and return the exit status."""
    if words and words[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    try:
        options = jobs.parse(words, known=None)
        path = options.given.get("conf", options.given.get("config"))
        return run(options, slurm_conf.read(path))
    except (WrongUsage, OSError) as error:
        jobs.say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
