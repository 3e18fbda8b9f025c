"""What the stages' scripts share: utils/kd_steps.sh."""

import hashlib
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
    return subprocess.run(
        ["bash", "-c", script], env=environment, stdout=subprocess.PIPE, text=True, timeout=600
    ).stdout


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


def steps(script: str, cwd: Path | None = None) -> tuple[int, list[str]]:
    """A script that sources kd_steps.sh, its status, and its lines without the time and place before them."""
    begin = f'set -euo pipefail; main() {{ names=("" data feats teacher); nj=2; now=1; first=1; last=3; . "{STEPS}"; '
    done = subprocess.run(
        ["bash", "-c", f"{begin}{script}\n}}; main"],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    return done.returncode, [line.split(") ", 1)[-1] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("stage", "number"), [("1", 1), ("data", 1), ("3", 3), ("teacher", 3)])
def test_a_stage_by_number_or_name(stage, number):
    assert steps(f"stage_number stage {stage}") == (0, [str(number)])


@pytest.mark.parametrize("stage", ["0", "4", "", "03", "tea", "1 2"])
def test_a_stage_that_there_is_not(stage):
    status, said = steps(f'first="$(stage_number stage "{stage}")"; echo went on')
    assert status == 1
    assert said == [f"ERROR: --stage {stage}: no such stage; expected 1 to 3 or one of: data feats teacher"]


@pytest.mark.parametrize(
    ("first", "last", "run"), [(1, 3, "1 2 3"), (2, 2, "2"), (1, 1, "1"), (3, 3, "3"), (2, 3, "2 3")]
)
def test_which_stages_begin(first, last, run):
    each = "for n in 1 2 3; do if begin $n r w >/dev/null; then echo $n; fi; done"
    assert steps(f"stage={first} stop_stage={last}; which_stages; {each}") == (0, run.split())


def test_the_last_stage_is_not_before_the_first():
    assert steps("stage=3 stop_stage=teacher; which_stages; echo $first $last") == (0, ["3 3"])
    assert steps("stage=3 stop_stage=2; which_stages")[0] == 1


def test_what_a_stamp_holds(tmp_path):
    """Settings in one line each; files, and directories by their own stamp; what is not there is left out."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/.done").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a b").write_text("text\n")
    status, said = steps(r"stamp 'a=1  2' $'b=3\n4' c= -- d 'a b' nowhere empty", tmp_path)
    digests = [hashlib.sha256(text).hexdigest()[:16] for text in (b"x", b"text\n")]
    assert status == 0 and said[0].startswith("# ")
    assert said[1:] == ["a=1  2", "b=3 4", "c=", f"d={digests[0]}", f"a b={digests[1]}"]
    assert steps("stamp a=1 --")[1][1:] == ["a=1"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a=1", "a=2", "a was '1', now '2'"),
        ("a=1", "a=", "a was '1', now ''"),
        ("a=1", "b=1", "b is new; a is gone"),
        (r"a=\nb=1", "b=1", "a is gone"),
        ("a=x=y", "a=x=z", "a was 'x=y', now 'x=z'"),
        ("file=0", "file=1", "file has changed"),
        (r"# old\na=1\nb=2", r"# new\na=1\nb=3", "b was '2', now '3'"),
        (r"a=1\nb=2", r"b=2\na=1\nc=5", "c is new"),
    ],
)
def test_what_differs_between_two_stamps(tmp_path, old, new, words):
    (tmp_path / "file").touch()
    assert steps(f"differences $'{old}' $'{new}'", tmp_path) == (0, [words])


def test_a_step_is_done_with_this_stamp(tmp_path):
    """Word for word; an empty one takes all; another is refused."""
    script = r"""
    mkdir d; is_done d x || echo 'not yet'
    mark_done d $'a=1\nb=2'; ls -A d; if is_done d $'a=1\nb=2'; then echo done; fi
    (is_done d $'a=1\nb=3') || echo refused; (is_done d a=1) || echo refused
    (is_done d $'a=1\nb=2\nc=3') || echo refused
    : >d/.done; if is_done d z; then echo done; fi
    """
    status, said = steps(script, tmp_path)
    assert status == 0
    assert [line for line in said if not line.startswith("ERROR")] == [
        "not yet", ".done", "done", "refused", "refused", "refused", "done",
    ]  # fmt: skip
    assert sum(line.startswith("ERROR: d: made with other settings or inputs (") for line in said) == 3


def test_what_a_stage_needs(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    assert steps("need 2 f; echo went on", tmp_path) == (0, ["went on"])
    assert steps("need 2 f d; echo went on", tmp_path)[1] == [
        "ERROR: d: not finished; run stage 2 (feats) first: ./run.sh --stage 2 (or touch d/.done if it was made in"
        " another way)"
    ]
    (tmp_path / "d/.done").touch()
    assert steps("need 2 f d; echo went on", tmp_path) == (0, ["went on"])
    assert steps("need 2 f d g; echo went on", tmp_path) == (
        1, ["ERROR: g: missing; run stage 2 (feats) first: ./run.sh --stage 2"],
    )  # fmt: skip


@pytest.mark.parametrize("failing", [None, 0, 1, 4])
def test_a_pool_ends_as_its_worst(tmp_path, failing):
    """Whichever fails, of those that have begun none is stopped, and none is begun after it."""
    script = f"job() {{ sleep 0.1; touch $1; [ $1 != {failing} ]; }}; for n in 0 1 2 3 4; do pool_start job $n; done"
    status, said = steps(script + "; pool_wait; echo well", tmp_path)
    begun = sorted(path.name for path in tmp_path.iterdir())
    assert (status, said) == ((0, ["well"]) if failing is None else (1, []))
    assert begun == ["0", "1", "2", "3", "4"][: 5 if failing is None else len(begun)] and str(failing or 0) in begun
    if failing in (0, 1):
        assert len(begun) < 5


@pytest.mark.parametrize(("nj", "early", "most"), [(1, "", 1), (2, "", 2), (3, "", 3), (3, "$$", 2)])
def test_a_pool_has_nj_processes(tmp_path, nj, early, most):
    """Fewer by what was begun early."""
    script = f"""
    nj={nj}; early="{early}"
    job() {{ touch in.$1; set -- $1 in.*; echo $(($# - 1)); sleep 0.15; rm in.$1; }}
    for n in 0 1 2 3 4 5; do pool_start job $n; done; pool_wait
    """
    status, said = steps(script, tmp_path)
    assert status == 0 and len(said) == 6 and max(map(int, said)) <= most
    if most > 1:
        assert max(map(int, said)) > 1


def test_the_pool_is_used_again_after_it_has_ended():
    script = "pool_start true; pool_start true; pool_wait; echo well; pool_start false; pool_wait; echo never"
    assert steps(script) == (1, ["well"])


def test_a_sentence_is_said_once(tmp_path):
    """Where a stage stops without a sentence of its own, the last words say how to go on."""
    begin = "expdir=exp; command_line=x; start_run >/dev/null; now=2; "
    assert steps(begin + "false", tmp_path) == (
        1,
        ["ERROR: stopped in stage 2 (feats), status 1; what is finished stays, and ./run.sh --stage 2 with the same"
         " options goes on"],
    )  # fmt: skip
    assert steps(begin + "die because of x", tmp_path) == (1, ["ERROR: because of x"])
    assert steps(begin + "exit 0", tmp_path) == (0, [])
    assert steps(begin + "(exit 7)", tmp_path)[0] == 7
    assert steps(begin + "await bash -c 'exit 9'; echo went on", tmp_path)[0] == 9
    assert steps(begin + "false | cat; echo went on", tmp_path)[0] == 1  # of a pipe, every part
