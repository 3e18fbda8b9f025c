"""utils/slurm.py on a real cluster: run.py's interface; what reaches a job; what ends in an error."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_lab import SLURM_PY, body, ended, gone, job_of, wait_for

# The job beyond its limit is begun here, so that nobody has to wait for it later.
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("time_limit")]

# a job with a child of its own, which it does not end itself; its runner is $PPID
FAMILY = "sleep 600 & echo $PPID $$ $! >pids.JOB.tmp; mv pids.JOB.tmp pids.JOB; wait"
# a job that leaves two processes behind, one of which has a session and no parent of its own
STRAY = "(setsid sleep 600 & echo $! >stray.tmp); sleep 600 & echo $! >>stray.tmp; mv stray.tmp stray; "
ODD = [
    "a b",
    "",
    "$HOME",
    "`id`",
    "$(id)",
    '"',
    "'",
    "'a\"b'",
    "\\",
    "*",
    ">x",
    "|",
    "&&",
    "a\nb",
    "é",
    "\udcff",
    "%a",
    "x",
]


def test_the_log_is_run_py_s_with_a_line_on_the_node(slurm, tmp_path):
    assert slurm.run(tmp_path, "a/b/x.log", "bash", "-c", "echo 'hello  world'; echo two >&2") == (0, "", "")
    lines = (tmp_path / "a/b/x.log").read_text().splitlines()
    date = r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \w+ \d{4}"
    assert lines[0] == """# bash -c 'echo '"'"'hello  world'"'"'; echo two >&2'"""
    assert re.fullmatch(r"# Running on n\d, SLURM job \d+", lines[1])
    assert re.fullmatch(rf"# Started at {date}", lines[2]) and lines[3] == "#"
    assert lines[4:6] == ["hello  world", "two"]
    assert re.fullmatch(r"# Accounting: time=\d threads=1", lines[6])
    assert re.fullmatch(rf"# Ended \(code 0\) at {date}, elapsed time \d seconds", lines[7]) and len(lines) == 8
    assert list((tmp_path / "a/b").iterdir()) == [tmp_path / "a/b/x.log"]  # nothing else is left


def test_arguments_reach_the_program_word_for_word(slurm, tmp_path):
    show = "import sys; print(ascii(sys.argv[1:]))"
    log = "l JOB/it's 100% é/$x JOB.log"
    assert slurm.run(tmp_path, "JOB=3:4", log, sys.executable, "-c", show, "JOB/5", "xJOBx", *ODD)[::2] == (0, "")
    for number in (3, 4):
        assert ascii([f"{number}/5", f"x{number}x", *ODD]) in body(tmp_path / log.replace("JOB", str(number)))


def test_the_environment_reaches_the_program(slurm, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/mine.conf").write_text("command sbatch --export=SLURM_CONF\noption num_threads=* -c $0\n")
    show = "import os, json; print(json.dumps(dict(os.environ)))"
    set_here = {
        "KDASR_X": "a b", "KDASR_RECIPE_PID": str(os.getpid()), "KDASR_PROGRESS": "/proc/1/fd/8", "LC_ALL": "C",
        "CUDA_VISIBLE_DEVICES": "7", "PYTHONIOENCODING": "UTF-8", "MINE": "1",
        "PATH": f"/venv/bin:{os.environ['PATH']}",
    }  # fmt: skip
    words = ["--conf", "conf/mine.conf", "--num-threads", "2", "x.log", sys.executable, "-c", show]
    assert slurm.run(tmp_path, *words, **set_here)[::2] == (0, "")
    seen = json.loads(body(tmp_path / "x.log")[0])
    for name in ("KDASR_X", "LC_ALL", "PYTHONIOENCODING"):
        assert seen[name] == set_here[name], name
    assert seen["PATH"].endswith(set_here["PATH"])  # pyenv's python3 puts more before it
    assert seen["OMP_NUM_THREADS"] == "2" and seen["SLURM_CPUS_PER_TASK"] == "2"
    assert not {"KDASR_RECIPE_PID", "KDASR_PROGRESS", "MINE"} & set(seen)
    assert seen.get("CUDA_VISIBLE_DEVICES") != "7"


def test_resources_reach_sbatch(slurm, tmp_path):
    both = "touch here.JOB; until [ -e here.1 ] && [ -e here.2 ]; do sleep 0.1; done"
    show = f"echo GPU=$CUDA_VISIBLE_DEVICES; scontrol show job $SLURM_JOB_ID; {both}"
    words = ["--gpu", "1", "--mem", "300M", "--time", "0:30:00", "--num-threads", "1", "--node", "n3"]
    assert slurm.run(tmp_path, *words, "JOB=1:2", "x.JOB.log", "bash", "-c", show)[::2] == (0, "")
    text = (tmp_path / "x.1.log").read_text()
    assert "TimeLimit=00:30:00" in text and "MinMemoryNode=300M" in text and "Partition=gpu" in text
    assert "TresPerNode=gres:gpu:1" in text and "JobName=x" in text
    gpus = [body(tmp_path / f"x.{number}.log")[0] for number in (1, 2)]
    assert sorted(gpus) == ["GPU=0", "GPU=1"]  # one node, a GPU each


def test_no_more_than_max_jobs_run_at_once(slurm, tmp_path):
    (tmp_path / "d").mkdir()
    count = "mkdir d/JOB; ls d | wc -l; sleep 0.5; rmdir d/JOB"
    assert slurm.run(tmp_path, "--max-jobs-run", "2", "JOB=1:6", "x.JOB.log", "bash", "-c", count)[0] == 0
    seen = [int(body(tmp_path / f"x.{number}.log")[0]) for number in range(1, 7)]
    assert max(seen) == 2


def test_one_failing_element(slurm, tmp_path):
    command = "if [ JOB = 2 ]; then for i in {1..40}; do echo line $i; done; exit 7; fi; " + FAMILY
    process = slurm.start(tmp_path, "JOB=1:4", "l/x.JOB.log", "bash", "-c", command)
    code, out, err = ended(process)
    assert (code, out) == (7, "")
    assert "slurm.py: 1 / 4 failed (3 cancelled), log is in l/x.*.log\n" in err
    assert re.search(r"slurm.py: job \d+_2 ended with status 7 on n\d\n--- the end of l/x.2.log:\n", err)
    assert re.findall(r"line \d+", err) == [f"line {i}" for i in range(26, 41)]
    assert "# Ended (code 7) at" in (tmp_path / "l/x.2.log").read_text()
    # when slurm.py is back, the others are no more
    assert slurm.in_queue(job_of(tmp_path)) == []
    for number in (1, 3, 4):
        for process in (
            (tmp_path / f"pids.{number}").read_text().split() if (tmp_path / f"pids.{number}").exists() else []
        ):
            assert gone(process)


def test_one_job_without_a_range(slurm, tmp_path):
    code, _, err = slurm.run(tmp_path, "x.log", "no-such-program", "JOB")
    assert code == 127 and err.startswith("slurm.py: job failed, log is in x.log\nslurm.py: job ")
    assert "no-such-program: No such file or directory" in (tmp_path / "x.log").read_text()
    assert "# Ended (code 127)" in (tmp_path / "x.log").read_text()
    # a rerun's log is its own, whatever was there
    assert slurm.run(tmp_path, "x.log", "echo", "JOB")[::2] == (0, "")
    assert body(tmp_path / "x.log") == ["JOB"] and not (tmp_path / "q").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_job(slurm, tmp_path, number):
    process = slurm.start(tmp_path, "--max-jobs-run", "2", "JOB=1:3", "x.JOB.log", "bash", "-c", FAMILY)
    pids = wait_for(tmp_path / "pids.1") + wait_for(tmp_path / "pids.2")
    os.killpg(process.pid, number)  # as a terminal does
    code, _, err = ended(process)
    job = job_of(tmp_path)
    assert code == 128 + number
    assert err == f"slurm.py: stopped by {number.name}, job {job} cancelled: x.JOB.log\n"
    assert slurm.in_queue(job) == [] and all(gone(pid) for pid in pids)
    assert not (tmp_path / "x.3.log").exists()


def test_what_a_job_has_left_running_ends_with_it(slurm, tmp_path):
    assert slurm.run(tmp_path, "x.log", "bash", "-c", STRAY + "exit 0")[::2] == (0, "")
    # when slurm.py is back, not some time later
    assert not any(Path(f"/proc/{pid}").exists() for pid in wait_for(tmp_path / "stray"))


def test_scancel_leaves_no_process(slurm, tmp_path):
    process = slurm.start(tmp_path, "x.log", "bash", "-c", STRAY + "wait")
    strays = wait_for(tmp_path / "stray")
    slurm.slurm("scancel", job_of(tmp_path))
    assert ended(process)[0] == 1 and all(gone(pid) for pid in strays)


def test_a_recipe_that_is_gone_takes_its_job_along(slurm, tmp_path):
    recipe = subprocess.Popen(["sleep", "600"])
    process = slurm.start(tmp_path, "x.log", "bash", "-c", FAMILY, KDASR_RECIPE_PID=str(recipe.pid))
    pids = wait_for(tmp_path / "pids.JOB")
    recipe.kill()
    recipe.wait()
    assert ended(process)[0] == 143 and all(gone(pid) for pid in pids)


def test_a_killed_slurm_py_is_taken_up_again(slurm, tmp_path):
    words = [
        "JOB=1:2",
        "l/x.JOB.log",
        "bash",
        "-c",
        "echo $$ >began.JOB; until [ -e go ]; do sleep 0.1; done; echo JOB",
    ]
    process = slurm.start(tmp_path, *words)
    wait_for(tmp_path / "began.1")
    process.kill()
    process.communicate()
    job = job_of(tmp_path)
    # another command of that log is not started beside it
    code, _, err = slurm.run(tmp_path, *words[:-1], "true")
    assert code == 2 and f"l/x.JOB.log: job {job} of an earlier run still writes it" in err
    began = (tmp_path / "began.1").read_text()
    process = slurm.start(tmp_path, *words)
    time.sleep(2)
    (tmp_path / "go").touch()
    code, _, err = ended(process)
    assert code == 0 and err.startswith(f"slurm.py: job {job} of an earlier run still does this; waiting for it")
    assert (tmp_path / "began.1").read_text() == began and body(tmp_path / "l/x.2.log") == ["2"]
    # and what has ended in between is no obstacle
    process = slurm.start(tmp_path, "l/x.log", "bash", "-c", "echo $$ >began.3; sleep 0.5")
    wait_for(tmp_path / "began.3")
    process.kill()
    process.communicate()
    job = job_of(tmp_path)
    while slurm.in_queue(job):
        time.sleep(0.2)
    assert slurm.run(tmp_path, "l/x.log", "true") == (0, "", "")


def test_slurm_py_inside_a_job(slurm, tmp_path):
    inner = [SLURM_PY, "--num-threads", "1", "inner.log", "bash", "-c", "echo $SLURM_JOB_NAME $SLURM_MEM_PER_NODE"]
    assert slurm.run(tmp_path, "--mem", "200M", "outer.log", *inner)[::2] == (0, "")
    assert body(tmp_path / "inner.log") == ["inner"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["--partition", "none", "x.log", "true"], "invalid partition specified: none"),
        (["--mem", "900G", "x.log", "true"], "SLURM does not take the job: sbatch: error: "),
        (["JOB=1:5000", "x.JOB.log", "true"], "(more elements than the cluster's MaxArraySize?)"),
        (["--partition", "none", "x.log", "true"], "(conf/slurm.conf makes it: sbatch --job-name=x --partition none)"),
        (["--reservation", "x", "x.log", "true"], "--reservation x: not described in conf/slurm.conf"),
        (["--gpu", "one", "x.log", "true"], "--gpu one: expected a whole number, 0 or more"),
        (["--conf", "no.conf", "x.log", "true"], "no.conf: No such file or directory"),
        (["a\\b.log", "true"], "sbatch takes no log with a backslash"),
        (["JOB=1:3", "x.log", "true"], "x.log: 3 jobs would write this log; put JOB into its name"),
        (["x.log"], "expected a log and a command"),
    ],
)
def test_what_cannot_be_submitted(slurm, tmp_path, words, said):
    code, out, err = slurm.run(tmp_path, *words)
    assert (code, out) == (2, "") and err.startswith("slurm.py: ") and said in err and "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir() if path.name != "q"] == ["conf"]
    assert not list(tmp_path.glob("q/*"))


def test_without_slurm_s_commands(tmp_path):
    words = [sys.executable, "-ES", "-X", "utf8", SLURM_PY, "x.log", "true"]
    done = subprocess.run(words, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "slurm.py: sbatch: not found; slurm.py works where SLURM's commands are, run.py everywhere\n"


def test_help():
    done = subprocess.run([SLURM_PY, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--max-jobs-run N" in done.stdout and "JOB=1:4" in done.stdout
