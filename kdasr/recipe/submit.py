"""./run.sh --submit slurm: the stages as jobs of a cluster, each after the one before it.

What it leaves in EXPDIR/jobs is read by `kdasr jobs`.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kdasr.errors import UserError
from kdasr.recipe.screen import log
from kdasr.recipe.work import Work


def submit(work: Work, backend: str, program: Sequence[str], words: Sequence[str]) -> None:
    """Submit each stage as a job, which starts when the one before it has ended well.

    Args:
        work: the stages.
        backend: what cmd.sh is to choose in the job.
        program: of cmd.sh, which submits (submit_cmd).
        words: the recipe's program and its options, to which --stage N --stop_stage N is added.

    Raises:
        UserError: stages of an earlier submission wait or run, or a stage was not submitted.
    """
    expdir = work.expdir
    place = Path(expdir) / "jobs"
    place.mkdir(parents=True, exist_ok=True)
    with open(place / ".lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{expdir}: another {work.program} --submit is submitting right now; kdasr jobs status {expdir} "
                "shows it"
            ) from None
        if subprocess.run(["kdasr", "jobs", "status", "--idle", expdir], check=False).returncode:
            raise UserError("nothing was submitted")
        after: list[str] = []
        for number in work.stages:
            name = work.name(number)
            record = f"{place}/{number}_{name}.log"
            job = [
                "env",
                f"cmd_backend={backend}",
                *words,
                "--submit",
                "",
                "--stage",
                str(number),
                "--stop_stage",
                str(number),
            ]
            done = subprocess.run(
                [*program, "--detach", "1", *after, record, *job],
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ,
                check=False,
            )
            if done.returncode:
                raise UserError(
                    f"stage {number} ({name}) was not submitted; what was submitted before it goes on, or ends with: "
                    f"kdasr jobs cancel {expdir}"
                )
            number_of_job = done.stdout.strip()
            behind = f" after job {after[1]}" if after else ""
            log(f"stage {number} ({name}): job {number_of_job}{behind}, log in {record}", name)
            after = ["--after", number_of_job]
    log(f"submitted; kdasr jobs status {expdir} shows how they stand, kdasr jobs cancel {expdir} ends them")
