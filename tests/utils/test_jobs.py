"""utils/jobs.py and utils/run.py, called in this process where no signal is needed (test_run.py runs the program)."""

import fcntl
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "utils"))

import jobs
import run
from jobs import WrongUsage


def parse(text):
    return jobs.parse(text.split())


def test_what_the_command_line_says():
    options = parse("--max-jobs-run 3 --mem 8G J=2:5 --num_threads 4 --gpu 2 --time 1:00 l/x.J.log prog J K=1:2 --mem")
    assert (options.job_name, options.first, options.last, options.log) == ("J", 2, 5, "l/x.J.log")
    assert (options.max_jobs_run, options.num_threads, options.gpu) == (3, 4, 2)
    assert options.command == ["prog", "J", "K=1:2", "--mem"]
    assert options.given == {"max_jobs_run": "3", "mem": "8G", "num_threads": "4", "gpu": "2", "time": "1:00"}
    assert options.words("a.J/J", 12) == "a.12/12" and options.pattern() == "l/x.*.log"
    options = parse("x.J.log prog J")
    assert (options.job_name, options.first, options.last, options.num_threads) == ("", 1, 1, 1)
    assert options.words("a.J", 12) == "a.J" and options.pattern() == "x.J.log"


@pytest.mark.parametrize("first, last", [(1, 1), (7, 7), (2, 3)])
def test_ranges(first, last):
    options = parse(f"J={first}{f':{last}' if last > first else ''} x.J.log true")
    assert (options.first, options.last) == (first, last)
    assert parse(f"J={first}:{first} x.log true").log == "x.log"  # one job needs no number in its log
    with pytest.raises(WrongUsage, match="2 jobs would write this log; put J into its name"):
        parse(f"J={first}:{first + 1} x.log true")


def test_there_is_one_range():
    with pytest.raises(WrongUsage, match="K=1:2: expected a range of jobs"):
        parse("J=1:2 K=1:2 x.J.K.log true")
    assert parse("J=1:2 x.J.log env K=1:2 true").command == ["env", "K=1:2", "true"]


@pytest.mark.parametrize("both, least", [("4 2", 2), ("2 4", 2), ("1 9", 1), ("3 3", 3)])
def test_of_two_limits_the_smaller_one_holds(both, least):
    first, second = both.split()
    assert parse(f"--max-jobs-run {first} --max_jobs_run {second} x.log true").max_jobs_run == least
    assert parse(f"--num-threads {first} --num-threads {second} x.log true").num_threads == int(second)


@pytest.mark.parametrize("name, least", [("max-jobs-run", 1), ("num-threads", 1), ("gpu", 0)])
def test_the_least_of_each_number(name, least):
    assert getattr(parse(f"--{name} {least} x.log true"), name.replace("-", "_")) == least
    for value in (str(least - 1), "1.5", "x", "", "-1", "+1"):
        with pytest.raises(WrongUsage, match=f"expected a whole number, {least} or more"):
            jobs.parse([f"--{name}", value, "x.log", "true"])


def test_options_of_a_site_are_for_slurm_py_alone():
    assert jobs.parse(["--my-own", "x", "--after", "3", "l", "c"], known=None).given == {"my_own": "x", "after": "3"}
    for words in (["--my-own", "x", "l", "c"], ["--after", "3", "l", "c"]):
        with pytest.raises(WrongUsage, match="no such option"):
            jobs.parse(words)
    assert parse("- true").log == "-"
    with pytest.raises(WrongUsage):
        jobs.parse(["-", "true"], known=None)


@examples(100)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6), min_size=1, max_size=4))
def test_the_command_that_is_shown_can_be_pasted_into_a_shell(words):
    shown = jobs.shown(words)
    assert shlex.split(shown) == words
    # what a shell expands, even at the start of a word, stands in quotes
    bare = shlex.shlex(shown, posix=False, punctuation_chars=True)
    bare.whitespace_split = True
    assert not [word for word in bare if word[0] not in "'\"" and set(word) & set("~*?[]{}!#$`\\|&;<>()")]


@pytest.mark.parametrize(
    "code, words", [(0, "(code 0)"), (7, "(code 7)"), (-9, "(code 137; signal 9)"), (-15, "(code 143; signal 15)")]
)
def test_the_end_of_a_log(code, words):
    log = io.StringIO()
    jobs.write_end(log, code, 61.6, 3)
    first, second = log.getvalue().splitlines()
    assert first == "# Accounting: time=62 threads=3"
    assert second.startswith(f"# Ended {words} at ") and second.endswith(", elapsed time 62 seconds")


@pytest.mark.parametrize("number", [0, 1, 14, 15, 16, 17, 18, 40])
def test_the_last_fifteen_lines_are_shown(tmp_path, number):
    lines = [f"line {n}" for n in range(number)]
    with (tmp_path / "x.log").open("w") as log:
        log.write("".join(f"{line}\n" for line in lines))
        jobs.write_end(log, 1, 2.0, 1)
    assert jobs.tail(str(tmp_path / "x.log")) == "\n".join(lines[-15:])


def test_what_a_progress_bar_showed_last(tmp_path):
    (tmp_path / "x").write_bytes(b"1%\r50%\r99%\r\nend\xff")
    assert jobs.tail(str(tmp_path / "x")) == "99%\nend\ufffd"
    assert jobs.tail(str(tmp_path / "y")) == "(cannot be read: No such file or directory)"


@pytest.mark.parametrize(
    "failed, rest, words", [([2], "7 not started", "1 / 9 failed (7 not started)"), ([1, 3], "", "2 / 9 failed,")]
)
def test_how_many_have_failed(tmp_path, monkeypatch, capsys, failed, rest, words):
    monkeypatch.chdir(tmp_path)
    for number in failed:
        Path(f"x.{number}.log").write_text(f"why {number}\n")
    jobs.report(parse("J=1:9 x.J.log true"), [f"x.{n}.log" for n in failed], rest, ["a reason"])
    err = capsys.readouterr().err
    assert words in err and ", log is in x.*.log\n" in err and "a reason\n" in err
    assert f"--- the end of x.{failed[0]}.log:\nwhy {failed[0]}\n---\n" in err


# ------------------------------------------------------------------------------------------------- run.py


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def go(*words):
    return run.run(jobs.parse(words), [])


def body(log):
    return [line for line in Path(log).read_text().splitlines() if not line.startswith("#")]


def test_every_job_of_an_array_runs_once(here, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6")
    for first, last in ((1, 1), (1, 3), (4, 5)):
        words = ["--num-threads", "2", f"J={first}:{last}", f"l{first}/x.J.log", "sh", "-c"]
        assert go(*words, "echo J $OMP_NUM_THREADS $CUDA_VISIBLE_DEVICES") == 0
        logs = sorted(path.name for path in Path(f"l{first}").iterdir())
        assert logs[-(last - first + 1) :] == [f"x.{number}.log" for number in range(first, last + 1)]
        assert body(f"l{first}/x.{last}.log") == [f"{last} 2 6"]  # whoever needs no GPU keeps what is visible


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_at_most_so_many_at_once_and_as_many(here, limit):
    """Each job waits until as many as may run have begun, and tells how many have begun and not ended."""
    (here / "begun").mkdir()
    (here / "ended").mkdir()
    script = f"touch begun/J; until [ $(ls begun | wc -l) -ge {limit} ]; do sleep 0.01; done; sleep 0.05"
    script += "; echo $(($(ls begun | wc -l) - $(ls ended | wc -l))); touch ended/J"
    assert go("--max-jobs-run", str(limit), "J=1:4", "x.J.log", "sh", "-c", script) == 0
    assert max(int(body(f"x.{n}.log")[0]) for n in range(1, 5)) <= limit


def test_a_failure_ends_the_starting_not_what_runs(here, capsys):
    script = "[ J != 1 ] || exit 5; sleep 0.2; echo end"
    assert go("--max-jobs-run", "2", "J=1:5", "x.J.log", "sh", "-c", script) == 1
    assert sorted(path.name for path in here.glob("x.*")) == ["x.1.log", "x.2.log"] and body("x.2.log") == ["end"]
    assert "1 / 5 failed (3 not started), log is in x.*.log" in capsys.readouterr().err
    assert go("x.log", "sh", "-c", "exit 5") == 1 and "# Ended (code 5)" in Path("x.log").read_text()
    (here / "plain").write_text("no program")
    (here / "plain").chmod(0o755)
    (here / "secret").write_text("no program")
    for name, code in (("./secret", 126), ("./nobody", 127)):
        assert go("x.log", name) == 1 and f"# Ended (code {code})" in Path("x.log").read_text()


def test_a_job_has_as_many_gpus_as_it_asks_for(here, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", " 3, 1,,-1,GPU-x/y")
    assert run.gpu_names() == ["3", "1", "GPU-x/y"]
    assert go("--gpu", "3", "J=1:2", "x.J.log", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES") == 0
    assert [body(f"x.{n}.log") for n in (1, 2)] == [["3,1,GPU-x/y"]] * 2
    with pytest.raises(WrongUsage, match=r"--gpu 4: .* show 3 GPU"):
        go("--gpu", "4", "x.log", "true")
    assert go("--gpu", "0", "y.log", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES") == 0
    assert body("y.log") == ["3, 1,,-1,GPU-x/y"]


def test_gpus_that_nvidia_smi_lists(here, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (here / "nvidia-smi").write_text(
        "#!/bin/sh\necho 'GPU 0: A (UUID: x)'; echo '  MIG 1g'; echo 'GPU 1: B (UUID: y)'\n"
    )
    (here / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    assert run.gpu_names() == ["0", "1"]
    monkeypatch.setenv("PATH", str(here / "nothing"))
    assert run.gpu_names() == []


def test_gpus_are_taken_all_or_none(here, monkeypatch):
    """While one of two is somebody's, the other stays free for whoever needs one alone."""
    one = run.lock_gpus(["0", "1"], 1)
    assert [gpu.name for gpu in one] == ["0"]
    assert run.lock_gpus(["0", "1"], 2) is None
    other = run.lock_gpus(["0", "1"], 1)
    assert [gpu.name for gpu in other] == ["1"] and run.lock_gpus(["0", "1"], 1) is None
    for gpu in [*one, *other]:
        os.close(gpu.lock)
    both = run.lock_gpus(["0", "1"], 2)
    assert [gpu.name for gpu in both] == ["0", "1"]
    for gpu in both:
        os.close(gpu.lock)


def test_a_job_keeps_the_recipe_s_lock(here, monkeypatch):
    """As long as it lives nobody else has it; a number that is no open file is none."""
    with (here / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        monkeypatch.setenv("KDASR_LOCK_FD", str(lock.fileno()))
        assert run.kept_open() == [lock.fileno()]
        job = run.start(jobs.parse(["x.log", "cat", "fifo"]), 1, []) if os.mkfifo("fifo") is None else None
    assert subprocess.run(["flock", "-n", "lock", "true"], check=False).returncode == 1
    with open("fifo", "w"):
        pass
    job.process.wait()
    assert subprocess.run(["flock", "-n", "lock", "true"], check=False).returncode == 0
    for number in ("", "x", "999"):
        monkeypatch.setenv("KDASR_LOCK_FD", number)
        assert run.kept_open() == []
