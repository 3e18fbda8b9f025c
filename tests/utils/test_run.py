"""utils/run.py: run.pl's interface; arguments reach the program word for word; failures and signals."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from slurm_lab import gone

RUN = Path(__file__).resolve().parents[2] / "utils/run.py"
PRINT = "import sys; print(sys.argv[1:])"


def run(cwd, *words, **environment):
    done = subprocess.run(
        [sys.executable, "-ES", RUN, *map(str, words)],
        cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def body(log):
    """What the program itself wrote."""
    return [line for line in log.read_text().splitlines() if not line.startswith("#")]


def test_the_log_is_run_pl_s(tmp_path):
    assert run(tmp_path, "a/b/x.log", "echo", "hello  world") == (0, "", "")
    lines = (tmp_path / "a/b/x.log").read_text().splitlines()
    date = r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \w+ \d{4}"
    assert lines[0] == "# echo 'hello  world'"
    assert re.fullmatch(rf"# Started at {date}", lines[1]) and lines[2] == "#"
    assert lines[3] == "hello  world"
    assert lines[4] == "# Accounting: time=0 threads=1"
    assert re.fullmatch(rf"# Ended \(code 0\) at {date}, elapsed time 0 seconds", lines[5]) and len(lines) == 6


def test_stderr_is_in_the_log_and_a_rerun_overwrites_it(tmp_path):
    run(tmp_path, "x.log", "bash", "-c", "echo one; echo two >&2")
    assert body(tmp_path / "x.log") == ["one", "two"]
    run(tmp_path, "x.log", "echo", "three")
    assert body(tmp_path / "x.log") == ["three"]


@pytest.mark.parametrize(
    "word", ["a b", "", "$HOME", "`id`", "$(id)", '"', "'", "'a\"b'", "\\", "*", ">x", "|", "&&", "a\nb", "é", "exit 3"]
)
def test_arguments_reach_the_program_word_for_word(tmp_path, word):
    assert run(tmp_path, "x.log", sys.executable, "-c", PRINT, word, "end")[0] == 0
    lines = (tmp_path / "x.log").read_text().splitlines()
    assert repr([word, "end"]) in lines
    assert not (tmp_path / "x").exists()


@examples(15)
@given(words=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), max_size=3))
def test_any_arguments(tmp_path_factory, words):
    log = tmp_path_factory.mktemp("any") / "x.log"
    assert run(log.parent, log, sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *words)[0] == 0
    assert ascii(words) in log.read_text().splitlines()


def test_the_first_line_can_be_pasted_into_a_shell(tmp_path):
    run(tmp_path, "x.log", sys.executable, "-c", PRINT, "a b", "$HOME", "it's")
    command = (tmp_path / "x.log").read_text().splitlines()[0].removeprefix("# ")
    pasted = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert pasted.stdout == "['a b', '$HOME', \"it's\"]\n"


def test_job_numbers_in_log_and_arguments(tmp_path):
    assert run(tmp_path, "JOB=3:5", "l/JOB/x.JOB.log", "echo", "JOB/5", "xJOBx", "job")[0] == 0
    for number in (3, 4, 5):
        assert body(tmp_path / f"l/{number}/x.{number}.log") == [f"{number}/5 x{number}x job"]
    assert len(list((tmp_path / "l").iterdir())) == 3
    # another name, one job, and options on either side
    assert run(tmp_path, "--mem", "1G", "N=7", "--time", "1:00", "y.N.log", "echo", "N", "JOB")[0] == 0
    assert body(tmp_path / "y.7.log") == ["7 JOB"]


def test_without_a_range_nothing_is_replaced(tmp_path):
    run(tmp_path, "JOB.log", "echo", "JOB")
    assert body(tmp_path / "JOB.log") == ["JOB"]


def test_threads_and_no_standard_input(tmp_path):
    run(tmp_path, "x.log", "bash", "-c", "echo $OMP_NUM_THREADS; cat", OMP_NUM_THREADS="7")
    assert body(tmp_path / "x.log") == ["1"]
    run(tmp_path, "--num-threads", "3", "x.log", "bash", "-c", "echo $OMP_NUM_THREADS")
    assert body(tmp_path / "x.log") == ["3"] and "time=0 threads=3" in (tmp_path / "x.log").read_text()


@pytest.mark.parametrize(
    "words, said",
    [
        (["JOB=1:3", "x.log", "true"], "x.log: 3 jobs would write this log; put JOB into its name"),
        (["JOB=0:3", "x.JOB.log", "true"], "JOB=0:3: expected a range that begins at 1"),
        (["JOB=3:1", "x.JOB.log", "true"], "JOB=3:1: expected a range"),
        (["JOB=1:x", "x.JOB.log", "true"], "JOB=1:x: expected a range of jobs"),
        (["--max-jobs-run", "0", "x.log", "true"], "--max-jobs-run 0: expected a whole number, 1 or more"),
        (["--num_threads", "two", "x.log", "true"], "--num_threads two: expected a whole number, 1 or more"),
        (["--max-job-run", "2", "x.log", "true"], "--max-job-run: no such option"),
        (["--mem"], "--mem: its value is missing"),
        (["x.log"], "expected a log and a command"),
        ([], "expected a log and a command"),
    ],
)
def test_wrong_usage(tmp_path, words, said):
    code, _, err = run(tmp_path, *words)
    assert code == 2 and said in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help(tmp_path):
    code, out, _ = run(tmp_path, "--help")
    assert code == 0 and "--max-jobs-run N" in out and "JOB=1:8" in out


def test_a_failing_job_is_shown(tmp_path):
    code, out, err = run(tmp_path, "l/x.log", "bash", "-c", "for i in {1..40}; do echo line $i; done; exit 7")
    assert code == 1 and out == ""
    assert err.startswith("run.py: job failed, log is in l/x.log\n")
    shown = [line for line in err.splitlines() if line.startswith("line")]
    assert shown == [f"line {i}" for i in range(26, 41)]  # the last 15
    assert "# Ended (code 7) at" in (tmp_path / "l/x.log").read_text()


def test_failures_of_an_array_are_counted(tmp_path):
    command = "sleep 0.3; echo said JOB; [ JOB != 2 ]"
    code, _, err = run(tmp_path, "--max-jobs-run", "3", "JOB=1:3", "l/x.JOB.log", "bash", "-c", command)
    assert code == 1
    assert "run.py: 1 / 3 failed, log is in l/x.*.log" in err and "--- the end of l/x.2.log:" in err and "said 2" in err
    assert "# Ended (code 0)" in (tmp_path / "l/x.3.log").read_text()  # what ran was finished


def test_after_a_failure_no_further_job_is_started(tmp_path):
    command = "if [ JOB = 1 ]; then exit 1; fi; sleep 0.5; echo finished"
    code, _, err = run(tmp_path, "--max-jobs-run", "2", "JOB=1:9", "x.JOB.log", "bash", "-c", command)
    assert code == 1 and "1 / 9 failed" in err
    assert sorted(path.name for path in tmp_path.glob("x.*")) == ["x.1.log", "x.2.log"]
    assert "(7 not started)" in err and body(tmp_path / "x.2.log") == ["finished"]


def test_commands_that_cannot_be_started(tmp_path):
    code, _, err = run(tmp_path, "x.log", "no-such-program", "a")
    assert code == 1 and "run.py: no-such-program: No such file or directory" in err
    assert "# Ended (code 127)" in (tmp_path / "x.log").read_text()
    (tmp_path / "plain").write_text("text")
    assert run(tmp_path, "x.log", "./plain")[0] == 1
    assert "# Ended (code 126)" in (tmp_path / "x.log").read_text()


def test_a_killed_job_tells_its_signal(tmp_path):
    assert run(tmp_path, "x.log", "bash", "-c", "kill -9 $$")[0] == 1
    assert "# Ended (code 137; signal 9)" in (tmp_path / "x.log").read_text()


def test_a_log_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run(tmp_path, "file/x.log", "true")
    assert code == 2 and err.startswith("run.py: ") and "file" in err


def test_no_more_than_max_jobs_run_at_once(tmp_path):
    count = "mkdir d/JOB; ls d | wc -l; sleep 0.2; rmdir d/JOB"
    (tmp_path / "d").mkdir()
    assert run(tmp_path, "--max-jobs-run", "2", "JOB=1:6", "x.JOB.log", "bash", "-c", count)[0] == 0
    seen = [int(body(tmp_path / f"x.{i}.log")[0]) for i in range(1, 7)]
    assert max(seen) <= 2
    # cmd.sh and the script may both give a limit: the smaller one holds
    words = ["--max-jobs-run", "1", "--max-jobs-run", "6", "JOB=1:3", "y.JOB.log", "bash", "-c", count]
    assert run(tmp_path, *words)[0] == 0
    assert [body(tmp_path / f"y.{i}.log") for i in (1, 2, 3)] == [["1"]] * 3


def test_a_progress_bar_is_shown_in_its_last_state(tmp_path):
    _, _, err = run(tmp_path, "x.log", "bash", "-c", r"printf '1%%\r50%%\r99%%\n'; echo broken; exit 1")
    assert "#\n99%\nbroken\n---" in err


def start(cwd, *words, **environment):
    return subprocess.Popen(
        [sys.executable, "-ES", RUN, *map(str, words)],
        cwd=cwd, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # whoever called the tests with nohup
    )  # fmt: skip


def wait_for(path):
    for _ in range(24000):
        if path.exists() and path.read_text().strip():
            return path.read_text().split()
        time.sleep(0.025)
    raise AssertionError(f"{path} was never written")


# a job with a child of its own, which it does not end itself
FAMILY = "sleep 60 & echo $$ $! >pids.JOB.tmp; mv pids.JOB.tmp pids.JOB; wait"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_jobs_with_their_children(tmp_path, number):
    process = start(tmp_path, "--max-jobs-run", "2", "JOB=1:3", "x.JOB.log", "bash", "-c", FAMILY)
    pids = wait_for(tmp_path / "pids.1") + wait_for(tmp_path / "pids.2")
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}" in err
    assert all(gone(pid) for pid in pids)
    assert "# Ended (code 143; signal 15)" in (tmp_path / "x.1.log").read_text()
    assert not (tmp_path / "x.3.log").exists()


def test_a_run_that_was_suspended_goes_on(tmp_path):
    """Ctrl-Z and fg, or a cluster that suspends jobs: longer than the half second between two looks at its starter."""
    process = start(tmp_path, "x.log", "bash", "-c", "echo $$ >pid; until [ -e go ]; do sleep 0.05; done; echo done")
    wait_for(tmp_path / "pid")
    for _ in range(3):
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.7)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.2)
    assert process.poll() is None
    (tmp_path / "go").touch()
    assert process.wait(600) == 0 and body(tmp_path / "x.log") == ["done"]


def test_nohup(tmp_path):
    words = ["nohup", sys.executable, "-ES", RUN, "x.log", "bash", "-c", FAMILY]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pids = wait_for(tmp_path / "pids.JOB")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None and Path(f"/proc/{pids[0]}").exists()
    process.terminate()
    assert process.wait(600) == 143 and all(gone(pid) for pid in pids)


def test_a_job_that_ignores_sigterm_is_killed(tmp_path):
    process = start(tmp_path, "x.log", "bash", "-c", "trap '' TERM; echo $$ >pid; while :; do sleep 0.1; done")
    pid = wait_for(tmp_path / "pid")[0]
    process.terminate()
    process.communicate(timeout=600)
    assert gone(pid) and process.returncode == 143


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_jobs_do_not_outlive_a_killed_run_py(tmp_path):
    process = start(tmp_path, "x.log", "bash", "-c", "echo $$ >pid; exec sleep 60")
    pid = wait_for(tmp_path / "pid")[0]
    process.kill()
    process.communicate(timeout=600)
    assert gone(pid)


def test_a_recipe_that_is_gone_takes_its_jobs_along(tmp_path):
    recipe = subprocess.Popen(["sleep", "60"])
    process = start(tmp_path, "x.log", "bash", "-c", "echo $$ >pid; exec sleep 60", KDASR_RECIPE_PID=str(recipe.pid))
    pid = wait_for(tmp_path / "pid")[0]
    recipe.kill()
    recipe.wait()
    process.communicate(timeout=600)
    assert process.returncode == 143 and gone(pid)


def test_without_a_log(tmp_path):
    assert run(tmp_path, "-", "bash", "-c", "echo out; echo err >&2") == (0, "out\n", "err\n")
    code, out, err = run(tmp_path, "-", "bash", "-c", "echo why >&2; exit 3")
    assert (code, out, err) == (1, "", "why\n")
    assert run(tmp_path, "-", "no-such-program")[::2] == (1, "run.py: no-such-program: No such file or directory\n")
    assert list(tmp_path.iterdir()) == []


def test_what_writes_on_for_a_moment_is_waited_for(tmp_path):
    assert run(tmp_path, "x.log", "bash", "-c", "echo x > >(sleep 0.3; cat)")[0] == 0
    assert body(tmp_path / "x.log") == ["x"] and "left running" not in (tmp_path / "x.log").read_text()


def test_what_a_job_has_left_running_is_ended(tmp_path):
    code, _, err = run(tmp_path, "x.log", "bash", "-c", "sleep 60 & setsid sleep 60 & echo $! $(jobs -p); exit 0")
    assert (code, err) == (0, "")
    assert all(gone(pid) for pid in body(tmp_path / "x.log")[0].split())
    assert "# Ended what the command had left running (signal 15)" in (tmp_path / "x.log").read_text()


def test_each_job_gets_a_gpu_of_its_own(tmp_path):
    report = "echo $CUDA_VISIBLE_DEVICES; sleep 0.4"
    words = ["--gpu", "1", "JOB=1:4", "x.JOB.log", "bash", "-c", report]
    began = time.monotonic()
    environment = {"CUDA_VISIBLE_DEVICES": "2,5", "HOME": str(tmp_path)}
    assert run(tmp_path, *words, **environment)[0] == 0
    assert time.monotonic() - began > 0.8  # two at a time
    assert sorted(body(tmp_path / f"x.{i}.log")[0] for i in range(1, 5)) == ["2", "2", "5", "5"]
    assert run(tmp_path, "--gpu", "2", "y.log", *words[4:], **environment)[0] == 0
    assert body(tmp_path / "y.log") == ["2,5"]


@pytest.fixture
def locks(tmp_path):
    """Where the locks of GPUs are, in a home of their own."""
    return tmp_path / "home/.cache/kdasr/gpu-locks"


def with_gpu(locks, *words, **environment):
    """Run a job on GPU 0 with the home that these locks are in."""
    environment = {"CUDA_VISIBLE_DEVICES": "0", "HOME": str(locks.parents[2]), **environment}
    return run(locks.parents[3], "--gpu", "1", "x.log", *(words or ("true",)), **environment)


def test_two_run_pys_share_the_gpus(tmp_path, locks):
    environment = {"CUDA_VISIBLE_DEVICES": "0", "HOME": str(locks.parents[2])}
    first = start(tmp_path, "--gpu", "1", "a.log", "bash", "-c", "echo x >began; sleep 1; date +%s%N >a", **environment)
    wait_for(tmp_path / "began")
    # a runtime directory, which a job of cron has not, changes nothing
    more = {**environment, "XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path)}
    assert run(tmp_path, "--gpu", "1", "b.log", "bash", "-c", "date +%s%N", **more)[0] == 0
    first.communicate(timeout=600)
    assert int(body(tmp_path / "b.log")[0]) > int((tmp_path / "a").read_text())


def test_where_the_locks_of_gpus_are(locks):
    assert with_gpu(locks)[0] == 0
    assert [path.name for path in locks.iterdir()] == [f"{os.uname().nodename}.0"]
    assert locks.stat().st_mode & 0o777 == 0o700
    assert (locks / f"{os.uname().nodename}.0").stat().st_size == 0


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "directory"])
def test_what_is_no_lock_is_refused_and_left_alone(tmp_path, locks, kind):
    locks.mkdir(mode=0o700, parents=True)
    lock, precious = locks / f"{os.uname().nodename}.0", tmp_path / "precious"
    if kind == "fifo":
        os.mkfifo(lock)
    elif kind == "directory":
        lock.mkdir()
    else:
        lock.symlink_to(precious)
    if kind != "dangling":
        precious.write_text("text")
    code, out, err = with_gpu(locks)
    assert code == 2 and out == ""
    assert err.startswith(f"run.py: {lock}: the lock of a GPU cannot be opened (") and err.count("\n") == 1
    assert err.endswith(f"remove it: rm -r {lock}\n")
    assert not precious.exists() if kind == "dangling" else precious.read_text() == "text"
    assert not (tmp_path / "x.log").exists()


def test_a_lock_with_text_in_it_is_not_truncated(locks):
    locks.mkdir(mode=0o700, parents=True)
    lock = locks / f"{os.uname().nodename}.0"
    lock.write_text("text")
    assert with_gpu(locks)[0] == 0 and lock.read_text() == "text"


@pytest.mark.parametrize("kind", ["open", "link", "file", "unwritable"])
def test_a_directory_of_locks_that_others_can_write_is_refused(tmp_path, locks, kind):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    locks.parent.mkdir(parents=True)
    if kind == "open":
        locks.mkdir()
        locks.chmod(0o777)
    elif kind == "link":
        locks.symlink_to(elsewhere)
    elif kind == "file":
        locks.write_text("text")
    else:  # a home that is a file: not even root writes there
        locks = tmp_path / "precious/.cache/kdasr/gpu-locks"
        (tmp_path / "precious").write_text("text")
    code, _, err = with_gpu(locks)
    assert code == 2 and err.startswith(f"run.py: {locks}: ") and "chmod 700" in err and err.count("\n") == 1
    assert list(elsewhere.iterdir()) == [] and not (tmp_path / "x.log").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("whose", ["lock", "directory"])
def test_another_user_s_is_refused(locks, whose):
    locks.mkdir(mode=0o700, parents=True)
    lock = locks / f"{os.uname().nodename}.0"
    lock.touch()
    os.chown(lock if whose == "lock" else lock.parent, 1234, 1234)
    code, _, err = with_gpu(locks)
    assert code == 2 and err.count("\n") == 1
    assert ("another user's" if whose == "lock" else "others can write") in err


def test_a_lock_that_is_refused_ends_the_jobs_that_run(tmp_path, locks):
    name = os.uname().nodename
    locks.mkdir(mode=0o700, parents=True)
    os.mkfifo(locks / f"{name}.1")
    code, _, err = run(
        tmp_path, "--gpu", "1", "JOB=1:2", "x.JOB.log", "bash", "-c", "sleep 60 & echo $!; wait",
        CUDA_VISIBLE_DEVICES="0,1", HOME=str(locks.parents[2]),
    )  # fmt: skip
    assert code == 2 and "not a plain file" in err
    assert all(gone(pid) for pid in body(tmp_path / "x.1.log"))
    assert "signal 15" in (tmp_path / "x.1.log").read_text()


def test_too_many_gpus_are_refused(tmp_path):
    code, _, err = run(tmp_path, "--gpu", "2", "x.log", "true", CUDA_VISIBLE_DEVICES="0")
    assert code == 2 and "--gpu 2: CUDA_VISIBLE_DEVICES or nvidia-smi -L show 1 GPU(s) here" in err
    assert run(tmp_path, "--gpu", "1", "x.log", "true", CUDA_VISIBLE_DEVICES="")[0] == 2


def test_a_log_is_not_written_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("text")
    (tmp_path / "x.log").symlink_to(tmp_path / "precious")
    code, _, err = run(tmp_path, "x.log", "true")
    assert code == 2 and "is a link, through which no log is written" in err and err.count("\n") == 1
    assert (tmp_path / "precious").read_text() == "text"
    assert run(tmp_path, "/dev/stderr", "true")[0] == 0  # a link as well, to nothing that could be lost
