"""What SLURM says about the elements of a job: calls of squeue, as few as possible, and the words for each state."""

from __future__ import annotations

import os
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import IO, NamedTuple

# squeue -O cuts and pads each field to its width
FIELDS = {"ArrayTaskID": 12, "State": 20, "RestartCnt": 8, "Reason": 40, "PreemptTime": 24, "NodeList": 64}
EVERY = 10.0  # seconds between questions
MINUTE, MOST = 60.0, 6  # no more calls in a minute than that
PATIENCE = 60.0  # seconds until a question that SLURM does not answer is given up

# States that tell how an element has ended: what happened, and what to do. (After COMPLETED and FAILED its exit file
# says more.)
REASONS = {
    "CANCELLED": "was cancelled (scancel, by you or an administrator); run again to continue",
    "TIMEOUT": "reached its time limit; raise --time, or the time in {conf}, and run again",
    "DEADLINE": "could not end before its deadline; raise or remove --deadline in {conf}, and run again",
    "OUT_OF_MEMORY": "needed more memory than it had asked for; raise --mem, or the memory in {conf}, and run again",
    "NODE_FAIL": "lost its node {node}, and SLURM may not requeue it (sbatch --requeue in {conf} lets it); run again",
    "BOOT_FAIL": "found no node that boots; tell the cluster's administrator, and run again",
    "PREEMPTED": "was preempted, and SLURM may not requeue it (sbatch --requeue in {conf} lets it); run again",
    "REVOKED": "was revoked by a sibling cluster; run again",
}
KILLED = "ended with status {code}, killed by signal {signal}: by someone, or by the system for want of memory (--mem)"
LOST = (
    "ended without leaving an exit status (SLURM: {state}): it was killed on its node {node}, or {folder} cannot be "
    "written there; run again"
)
FORGOTTEN = "is gone: SLURM does not know it any more, and it has left no exit status in {folder}; run again"
# Words of the reasons for which an element may wait for ever.
STUCK = (
    "Held", "held", "BadConstraints", "Dependency", "PartitionDown", "PartitionInactive",
    "PartitionTimeLimit", "PartitionNodeLimit", "ReqNodeNotAvail", "InvalidAccount", "InvalidQOS",
    "AccountNotAllowed", "QOSNotAllowed",
)  # fmt: skip


class Element(NamedTuple):
    """What squeue says about one element of a job."""

    state: str
    restarts: int
    reason: str
    preempted: bool
    node: str


class Queue:
    """Calls of SLURM's commands about one job, while other work goes on."""

    def __init__(self, job: str, folder: Path) -> None:
        self.job = job
        self.answer_file = folder / "squeue"
        self.asked: deque[float] = deque([time.monotonic()], maxlen=MOST)  # the first question is not at once
        self.process: subprocess.Popen[bytes] | None = None
        self.stream: IO[str]
        self.complaint = ""  # why SLURM did not answer

    def ask(self, *, soon: bool) -> None:
        """Ask when it is time, or, `soon`, as early as may be; nothing while a question is open."""
        clock = time.monotonic()
        wait = min(EVERY, 1.0) if soon else EVERY
        full = len(self.asked) == MOST and clock - self.asked[0] < MINUTE
        if self.process or full or clock - self.asked[-1] < wait:
            return
        self.asked.append(clock)
        self.stream = open(self.answer_file, "w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed in answer
        fields = ",".join(f"{name}:{width}" for name, width in FIELDS.items())
        self.process = subprocess.Popen(
            ["squeue", "--noheader", "--array", "--states=all", f"--jobs={self.job}", "-O", fields],
            stdin=subprocess.DEVNULL, stdout=self.stream, stderr=subprocess.STDOUT, process_group=0, env=environment(),
        )  # fmt: skip

    def answer(self) -> dict[str, Element] | None:
        """The elements that SLURM knows, by number ("N/A" for a job without any); None while there is no answer."""
        if not self.process:
            return None
        if self.process.poll() is None:
            if time.monotonic() - self.asked[-1] > PATIENCE:
                self.process.kill()
            return None
        self.stream.seek(0)
        text = self.stream.read()
        self.stream.close()
        code, self.process = self.process.returncode, None
        if code and "Invalid job id" not in text:
            self.complaint = text.strip().rsplit("\n", 1)[-1] or f"squeue: status {code}"
            return None
        self.complaint = ""
        return elements(text) if code == 0 else {}

    def close(self) -> None:
        """Drop an open question."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.stream.close()


def elements(text: str) -> dict[str, Element]:
    """Read squeue's table."""
    found = {}
    for line in text.splitlines():
        values, start = {}, 0
        for name, width in FIELDS.items():
            values[name] = line[start : start + width].strip()
            start += width
        if not values["State"].isupper():
            continue  # a warning among the lines
        found[values["ArrayTaskID"]] = Element(
            values["State"],
            int(values["RestartCnt"]) if values["RestartCnt"].isdecimal() else 0,
            values["Reason"],
            values["PreemptTime"] not in ("", "N/A"),
            values["NodeList"],
        )
    return found


def environment() -> dict[str, str]:
    """The environment for SLURM's commands: without what belongs to the job that we may be in, or to this machine."""
    ours = {name: value for name, value in os.environ.items() if name not in HERE}
    if "SLURM_JOB_ID" not in ours:
        return ours
    return {name: value for name, value in ours.items() if name in KEPT or not name.startswith("SLURM")}


# GPUs come from SLURM; the others name processes of this machine.
HERE = ("CUDA_VISIBLE_DEVICES", "KDASR_RECIPE_PID", "KDASR_PROGRESS")
KEPT = ("SLURM_CONF", "SLURM_JWT")


def cancel(job: str, caught: list[int]) -> bool:
    """Cancel a job and wait until none of it runs, so that it cannot disturb the next one; whether SLURM accepted it.

    A (further) signal in `caught` ends the waiting.
    """
    signals = len(caught)
    for pause in (1, 5, 10, 0):  # the controller may be busy
        done = ordered(["scancel", job])
        if done is not None and (done.returncode == 0 or "Invalid job id" in done.stderr):
            break
        if not pause or not slept(pause, caught, signals):
            return False
    for pause in (0.5, 1.5, 3, 5, 10, 20, 20):
        if not slept(pause, caught, signals):
            break
        done = ordered(["squeue", "--noheader", f"--jobs={job}", "-o", "%T"])
        if done is not None and (done.returncode == 0 or "Invalid job id" in done.stderr) and not done.stdout.strip():
            break
    return True


def ordered(words: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Run one of SLURM's commands; None when the controller does not answer."""
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
            process_group=0, env=environment(), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None


def slept(seconds: float, caught: list[int], signals: int) -> bool:
    """Sleep, unless there are more signals than `signals`; whether there were not."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if len(caught) > signals:
            return False
        time.sleep(0.1)
    return True
