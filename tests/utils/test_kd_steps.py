"""What the stages' scripts share: utils/kd_steps.sh."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = Path(__file__).parents[2] / "utils" / "kd_steps.sh"
# The first time it is to wait, no child is left: the signal that says so came just before.
LOST = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/wait.h>
pid_t waitpid(pid_t pid, int *status, int options) {
    static int lost;
    pid_t (*real)(pid_t, int *, int) = dlsym(RTLD_NEXT, "waitpid");
    if (options & WNOHANG || lost++) return real(pid, status, options);
    errno = ECHILD;
    return -1;
}
"""


def bash(script: str, **variables: object) -> str:
    """What the script prints, in a shell with these variables."""
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    return subprocess.run(["bash", "-c", script], env=environment, stdout=subprocess.PIPE, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library under which bash's first `wait` answers -1."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler, to take a child from under bash's wait")
    root = tmp_path_factory.mktemp("lost")
    (root / "lost.c").write_text(LOST)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", root / "lost.so", root / "lost.c", "-ldl"], check=True)
    if bash('sleep 0.2 & wait "$!"; echo "$?"', LD_PRELOAD=root / "lost.so") != "-1\n":
        pytest.skip("this bash is not taken in by a waitpid that finds no child")
    return root / "lost.so"


@pytest.mark.parametrize("status", [0, 3])
def test_await_has_the_status_of_what_ended_before_bash_asked(status, lost):
    command = f"await {sys.executable} -c 'import time; time.sleep(0.2); raise SystemExit({status})'"
    script = f'set -euo pipefail; . "{STEPS}"; trap "echo ended \\$?" EXIT; {command}; echo went on'
    for variables in ({}, {"LD_PRELOAD": lost}):
        assert bash(script, **variables) == ("went on\nended 0\n" if status == 0 else f"ended {status}\n"), variables
