"""What slurm.py submits: runs on a node, starts the job's command, and leaves its exit status in a file.

    python3 -ES -X utf8 slurm_job.py FOLDER     FOLDER/spec.json says what to run; SLURM_ARRAY_TASK_ID, which job it is

FOLDER/exit.NUMBER, which appears at once with all that is in it, says how the command ended. When SLURM wants
the job to stop (scancel, a time limit, preemption, a requeue), the file says that instead, and no more: what
becomes of the job is then reported by SLURM.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import jobs
from jobs import Options

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Seconds that we wait after the command's end, good or bad: it may be SLURM's doing, whose signal has reached the
# command, or a part of it (the first program of a pipe), before us.
SETTLE_GOOD, SETTLE_BAD = 0.25, 1.0
FORWARD = 2  # seconds after which a command that goes on is told to stop by us: the signal may have been ours alone


class Run:
    """One job on its node."""

    def __init__(self, folder: Path) -> None:
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.options = Options(**spec["options"])
        self.directory: str = spec["directory"]
        self.environment: dict[str, str] = spec["environment"]
        variables = os.environ
        task = variables.get("SLURM_ARRAY_TASK_ID")
        self.number = int(task or self.options.first)
        self.id = f"{variables['SLURM_ARRAY_JOB_ID']}_{task}" if task else variables.get("SLURM_JOB_ID", "?")
        self.host = variables.get("SLURMD_NODENAME") or os.uname().nodename
        self.restarts = int(variables.get("SLURM_RESTART_COUNT") or 0)
        self.process: subprocess.Popen[bytes] | int | None = None
        self.told = 0  # the signal by which SLURM wants us to stop

    def leave(self, code: int | None) -> None:
        """Write the exit file: the command's status, or None when SLURM wants the job to stop."""
        path = self.folder / f"exit.{self.number}"
        new = path.with_name(f"{path.name}.tmp")
        text = json.dumps({"code": code, "host": self.host, "id": self.id, "restarts": self.restarts})
        try:
            with new.open("w", encoding="utf-8") as stream:
                stream.write(text + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(path)
        except OSError as error:
            jobs.say(f"{path}: {error.strerror}")

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """SLURM wants the job to stop."""
        if not self.told:
            self.told = number
            self.leave(None)
            signal.alarm(FORWARD)

    def forward(self, number: int, _frame: FrameType | None) -> None:
        """Pass a signal on to the command."""
        if isinstance(self.process, subprocess.Popen):
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(self.told if number == signal.SIGALRM else number)

    def run(self) -> int:
        """Run the command and return its exit status."""
        for number in STOPS:
            signal.signal(number, self.stop)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):  # sbatch --signal=B:USR1@60
            signal.signal(number, self.forward)
        jobs.adopt_orphans()
        (self.folder / f"exit.{self.number}").unlink(missing_ok=True)  # of an attempt before this one
        options = self.options
        log = Path(options.words(options.log, self.number))
        began = time.monotonic()
        try:
            os.chdir(self.directory)
            log.parent.mkdir(parents=True, exist_ok=True)
            # appended: what SLURM itself or an attempt before this one has written stays
            with jobs.open_log(str(log), "a") as stream:
                command = [options.words(word, self.number) for word in options.command]
                environment = {**os.environ, **self.environment, "OMP_NUM_THREADS": str(options.num_threads)}
                self.process = jobs.launch(command, stream, environment, where=f"{self.host}, SLURM job {self.id}")
            code = self.process if isinstance(self.process, int) else self.process.wait()
            seconds = time.monotonic() - began
            if not self.told:
                time.sleep(SETTLE_BAD if code else SETTLE_GOOD)
            # SLURM may not find what has left the command's group, and whoever sees the exit file goes on
            jobs.end_descendants(FORWARD)
            with jobs.open_log(str(log), "a") as stream:
                jobs.write_end(stream, code, seconds, options.num_threads)
        except OSError as error:
            jobs.say(str(error))
            code = 2
        code = code if code >= 0 else 128 - code
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # too late: it has ended
        if not self.told:
            self.leave(code)
        return code


if __name__ == "__main__":
    sys.exit(Run(Path(sys.argv[1])).run())
