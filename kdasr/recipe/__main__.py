"""What utils/kd.sh calls once it has read the options: plan, and print, submit or run.

    python3 -m kdasr.recipe KIND --program utils/kd.sh --command './run.sh --nj 2' NAME=VALUE... -- WORD...

KIND is kd, lm, frames, or a Python file with a function `work` as theirs. NAME=VALUE are all options of a script
with their values, the words those that the user gave, for --submit. The programs of cmd.sh are in the environment:
train_cmd, decode_cmd, cuda_cmd, submit_cmd.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from collections.abc import Sequence

from kdasr.errors import UserError
from kdasr.recipe.execute import Stopped, execute, written
from kdasr.recipe.screen import refuse
from kdasr.recipe.step import On
from kdasr.recipe.submit import submit
from kdasr.recipe.work import Work


def programs() -> dict[On, tuple[str, ...]]:
    """The programs that cmd.sh names, and run.py for commands without a log. UserError where one is not there."""
    found: dict[On, tuple[str, ...]] = {"here": ("run.py", "-")}
    for on in ("train", "decode", "cuda"):
        words = tuple(os.environ.get(f"{on}_cmd", "").split())
        if not words or not shutil.which(words[0]):
            said = words[0] if words else f"{on}_cmd"
            raise UserError(
                f"{said}: no such command; cmd.sh has to set train_cmd, decode_cmd and cuda_cmd, as to run.py"
            )
        found[on] = words  # type: ignore[index]
    if not shutil.which("kdasr"):
        raise UserError("kdasr is not installed; run tools/install.sh at the top of the repository")
    return found


def work_of(kind: str, given: Sequence[str], command: str) -> Work:
    """What a script runs with these options. UserError where they do not fit."""
    if kind == "lm":
        from kdasr.recipe import lm_script

        return lm_script.work(given, command)
    if kind == "frames":
        from kdasr.recipe import frames

        return frames.work(given, command)
    if kind.endswith(".py"):
        return runpy.run_path(kind)["work"](given, command)
    from kdasr.recipe import kd
    from kdasr.recipe.kd_options import read_options

    return kd.work(read_options(given), command)


def main(words: Sequence[str]) -> int:
    """Run the program with these words; the exit status."""
    at = words.index("--")
    kind, _, program, _, command = words[:5]
    given, user = list(words[5:at]), words[at + 1 :]
    values = dict(word.split("=", 1) for word in given)
    given.remove(f"dry_run={values['dry_run']}")
    try:
        work, run_by = work_of(kind, given, command), programs()
        if values["dry_run"] == "true":
            print(written(work, run_by), end="")
            return 0
        if values["submit"]:
            submit_by = os.environ.get("submit_cmd", "").split()  # noqa: SIM112
            if not submit_by or not shutil.which(submit_by[0]):
                said = submit_by[0] if submit_by else "submit_cmd"
                raise UserError(f"{said}: no such command; cmd.sh has to set submit_cmd, as to slurm.py")
            submit(work, values["submit"], submit_by, [program, *user])
            return 0
        return execute(work, run_by)
    except UserError as error:
        refuse(str(error))
        return 1
    except Stopped as stopped:  # before anything ran
        return int(stopped.args[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
