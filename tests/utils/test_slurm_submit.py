"""utils/slurm_submit.py, slurm_job.py, slurm_queue.py and slurm.py with stand-ins for SLURM's commands.

What a real cluster makes of it is in test_slurm.py; here is what is asked of it, quickly.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "utils"))

import jobs
import slurm
import slurm_conf
import slurm_job
import slurm_queue
import slurm_submit
from jobs import WrongUsage

# Each command writes its words, one a line, and what it finds in its own file NAME.says (status in NAME.status). sbatch
# runs what it is given, if RUNS is there: all jobs of an array, one after the other.
COMMAND = r"""#!/usr/bin/env bash
here="${0%/*}"; name="${0##*/}"
printf '%s\n' "$@" "" >>"$here/$name.called"
[ ! -e "$here/$name.says" ] || cat "$here/$name.says"
[ ! -e "$here/$name.complains" ] || { cat "$here/$name.complains" >&2; exit 1; }
if [ "$name" = sbatch ]; then
    echo "17;cluster"
    [ -e "$here/RUNS" ] || exit 0
    export SLURM_JOB_ID=17 SLURMD_NODENAME=n9
    for word in "$@"; do case "$word" in --array=*) range="${word#--array=}"; range="${range%\%*}" ;; esac; done
    if [ -z "${range:-}" ]; then sh "${@: -1}" >&2; exit 0; fi
    for ((task = ${range%-*}; task <= ${range#*-}; task++)); do
        SLURM_ARRAY_JOB_ID=17 SLURM_ARRAY_TASK_ID=$task sh "${@: -1}" >&2
    done
fi
exit 0
"""


class Cluster:
    """Stand-ins for SLURM's commands."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("sbatch", "squeue", "scancel"):
            (folder / name).write_text(COMMAND)
            (folder / name).chmod(0o755)

    def says(self, name, text="", complaint=""):
        (self.folder / f"{name}.says").write_text(text)
        if complaint:
            (self.folder / f"{name}.complains").write_text(complaint)
        else:
            (self.folder / f"{name}.complains").unlink(missing_ok=True)

    def called(self, name):
        """The words of each call."""
        file = self.folder / f"{name}.called"
        return [call.split("\n") for call in file.read_text().split("\n\n")[:-1]] if file.exists() else []


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(slurm_job, "SETTLE_GOOD", 0)
    monkeypatch.setattr(slurm_job, "SETTLE_BAD", 0)
    handlers = {number: signal.getsignal(number) for number in jobs.STOPS}
    yield Cluster(tmp_path / "bin")
    for number, handler in handlers.items():
        signal.signal(number, handler)


def submitted(*words, sbatch=("sbatch",), caught=()):
    """The folder of a submission."""
    options = jobs.parse(words, known=None)
    return slurm_submit.submit(options, slurm_submit.specification(options), sbatch, "my.conf", list(caught))


def test_what_sbatch_is_told(cluster):
    here = Path.cwd()
    site = ["sbatch", "--job-name=site", "--output=site", "-p", "cpu"]
    folder = submitted("--max-jobs-run", "2", "--after", "5", "J=3:7", "l/a%b.J.log", "true", sbatch=site)
    # the site's options come before those that this program depends on: the last one counts
    assert cluster.called("sbatch") == [[
        "--job-name=a%b", "--job-name=site", "--output=site", "-p", "cpu", "--array=3-7%2", "--dependency=afterok:5",
        "--kill-on-invalid-dep=yes", "--parsable", f"--output={here}/l/a%%b.%a.log", f"--error={here}/l/a%%b.%a.log",
        "--open-mode=append", f"{folder}/job.sh",
    ]]  # fmt: skip
    assert slurm_submit.job_of(folder) == "17"
    folder = submitted("N=4", "x.N.log", "true")
    assert cluster.called("sbatch")[1][:2] == ["--job-name=x", "--array=4-4"]
    folder = submitted("--gpu", "0", "y", "true")
    assert cluster.called("sbatch")[2] == [
        "--job-name=y", "--parsable", f"--output={here}/y", f"--error={here}/y", "--open-mode=append",
        f"{folder}/job.sh",
    ]  # fmt: skip
    submitted("J=1:2", "J.log", "true")
    assert cluster.called("sbatch")[3][0] == "--job-name=job"  # there is always a name


def test_options_reach_sbatch_through_the_conf(cluster):
    conf = slurm_conf.parse(slurm_conf.BUILT_IN.splitlines(), "built-in")
    words = ["--mem", "8G", "--time", "2:00", "--num-threads", "3", "--gpu", "2", "--num_nodes", "4", "--detach", "1"]
    assert slurm.run(jobs.parse([*words, "x.log", "true"], known=None), conf) == 0
    assert cluster.called("sbatch")[0][1:-5] == [
        "--time", "2:00", "--mem", "8G", "--cpus-per-task", "3", "--gres=gpu:2", "--nodes", "4", "--ntasks-per-node",
        "1",
    ]  # fmt: skip


def test_logs_of_an_earlier_run_are_gone_before_the_job_begins(cluster):
    for number in (1, 2, 3):
        Path(f"x.{number}.log").write_text("old")
    submitted("J=2:3", "x.J.log", "true")
    assert sorted(path.name for path in Path().glob("x*")) == ["x.1.log"]


def test_the_environment_of_a_job(cluster, monkeypatch):
    for name in ("KDASR_X", "PYTHONX", "LC_X", "LANG", "LD_LIBRARY_PATH", "KDASR_RECIPE_PID", "KDASR_PROGRESS", "MINE"):
        monkeypatch.setenv(name, name.lower())
    spec = json.loads((submitted("x.log", "true") / "spec.json").read_text())
    assert spec["directory"] == str(Path.cwd())
    found = {name for name in spec["environment"] if name.lower() == spec["environment"][name]}
    assert found == {"KDASR_X", "PYTHONX", "LC_X", "LANG", "LD_LIBRARY_PATH"} and "PATH" in spec["environment"]


def test_inside_a_job_slurm_s_commands_do_not_see_it(monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "conf")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "200")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm_queue.environment()["SLURM_MEM_PER_NODE"] == "200"  # a user's own setting
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    seen = slurm_queue.environment()
    assert seen["SLURM_CONF"] == "conf" and not {"SLURM_MEM_PER_NODE", "SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"} & set(
        seen
    )
    assert seen["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    "complaint, said",
    [
        ("sbatch: error: invalid partition", "SLURM does not take the job: sbatch: error: invalid partition\n(my.conf"),
        ("Invalid job array specification", "does not take the job (more elements than the cluster's MaxArraySize?): "),
    ],
)
def test_a_job_that_is_not_taken_leaves_nothing(cluster, complaint, said):
    cluster.says("sbatch", complaint=complaint)
    with pytest.raises(WrongUsage) as error:
        submitted("x.log", "true", sbatch=["sbatch", "-p", "none"])
    assert said in str(error.value) and "makes it: sbatch --job-name=x -p none)" in str(error.value)
    assert list(Path("q").iterdir()) == [] and len(cluster.called("sbatch")) == 1


def test_a_controller_that_does_not_answer_is_asked_eight_times(cluster, monkeypatch):
    monkeypatch.setattr(slurm_submit, "BETWEEN", 0)
    cluster.says("sbatch", complaint="sbatch: error: Unable to contact slurm controller (connect failure)")
    with pytest.raises(WrongUsage, match="Unable to contact"):
        submitted("x.log", "true")
    assert len(cluster.called("sbatch")) == slurm_submit.TRIES == 8
    monkeypatch.setattr(slurm_submit, "BETWEEN", 60)
    with pytest.raises(WrongUsage):  # a signal ends the waiting
        submitted("x.log", "true", caught=[signal.SIGTERM])
    assert len(cluster.called("sbatch")) == 9


def left_behind(*words):
    options = jobs.parse(words, known=None)
    return slurm_submit.left_behind(options, slurm_submit.specification(options))


def test_a_job_of_an_earlier_run(cluster, capsys, monkeypatch):
    words = ["J=1:2", "l/x.J.log", "true", "a b"]
    folder = submitted(*words)
    cluster.says("squeue", f"/other/job.sh\n{folder}/job.sh\n")
    assert left_behind(*words) == folder
    assert "job 17 of an earlier run still does this; waiting for it" in capsys.readouterr().err
    assert cluster.called("squeue") == [["--noheader", "--jobs=17", "-o", "%o"]]
    monkeypatch.setenv("KDASR_X", "another environment is no other job")
    assert left_behind(*words) == folder
    for other in (
        ["J=1:3", *words[1:]],
        [*words[:2], "false", "a b"],
        ["--mem", "1G", *words],
        ["--detach", "1", *words],
    ):
        with pytest.raises(WrongUsage, match=r"^l/x.J.log: job 17 of an earlier run still writes it"):
            left_behind(*other)
    assert left_behind("J=1:2", "l/x.J.log.J", "true", "a b") is None  # another log, whose name begins alike
    (folder / "cancelled").touch()
    with pytest.raises(WrongUsage, match="still writes it"):
        left_behind(*words)


def test_whether_an_earlier_job_works_has_to_be_known(cluster):
    folder = submitted("x.log", "true")
    cluster.says("squeue", complaint="slurm_load_jobs error: Unable to contact slurm controller")
    with pytest.raises(WrongUsage, match="SLURM does not say whether job 17 of an earlier run still works"):
        left_behind("x.log", "true")
    assert folder.exists()


@pytest.mark.parametrize("how", ["gone", "unknown", "another's", "no number"])
def test_what_an_earlier_job_has_left_is_removed(cluster, how):
    folder = submitted("x.log", "true")
    cluster.says("squeue", "/somebody/job.sh\n" if how == "another's" else "")
    if how == "unknown":
        cluster.says("squeue", complaint="slurm_load_jobs error: Invalid job id specified")
    if how == "no number":
        (folder / "id").unlink()
    assert left_behind("x.log", "true") is None and not folder.exists()


CONF = slurm_conf.Conf("my.conf", ["sbatch"], {}, {})


def run(*words):
    return slurm.run(jobs.parse(words, known=None), CONF)


def body(log):
    return [line for line in Path(log).read_text().splitlines() if not line.startswith("#")]


def test_an_array_that_ends_well(cluster, capfd):
    (cluster.folder / "RUNS").touch()
    assert run("J=2:4", "l/x.J.log", "sh", "-c", "echo J $OMP_NUM_THREADS $SLURM_ARRAY_TASK_ID", "a b") == 0
    assert [body(f"l/x.{number}.log") for number in (2, 3, 4)] == [[f"{n} 1 {n}"] for n in (2, 3, 4)]
    assert "# Running on n9, SLURM job 17_3" in Path("l/x.3.log").read_text()
    assert sorted(path.name for path in Path("l").iterdir()) == ["x.2.log", "x.3.log", "x.4.log"]  # no q
    assert capfd.readouterr() == ("", "") and cluster.called("scancel") == []


@pytest.mark.parametrize("code, words", [(3, "ended with status 3 on n9"), (128, "ended with status 128 on n9")])
def test_a_job_of_an_array_that_fails(cluster, capfd, code, words):
    (cluster.folder / "RUNS").touch()
    assert run("J=1:3", "x.J.log", "sh", "-c", f"[ J != 2 ] || exit {code}") == code
    err = capfd.readouterr().err
    assert f"job 17_2 {words}" in err and "1 / 3 failed, log is in x.*.log" in err and "cancelled" not in err
    assert "# Ended (code 0)" in Path("x.3.log").read_text()


def test_the_others_of_an_array_are_cancelled(cluster, capfd, monkeypatch):
    """Two have not ended when one has failed; the folder stays, and says so."""
    folder = submitted("J=1:3", "x.J.log", "true")
    (folder / "exit.2").write_text(json.dumps({"code": 9, "host": "n1", "id": "17_2", "restarts": 0}))
    cluster.says("squeue", f"{folder}/job.sh\n")
    real = slurm_queue.ordered
    monkeypatch.setattr(slurm_queue, "slept", lambda *_: cluster.says("squeue", "") or True)
    assert run("J=1:3", "x.J.log", "true") == 9
    assert cluster.called("scancel") == [["17"]] and (folder / "cancelled").exists() and slurm_queue.ordered is real
    assert "1 / 3 failed (2 cancelled), log is in x.*.log" in capfd.readouterr().err


def test_a_detached_job_is_not_waited_for(cluster, capfd):
    assert run("--detach", "1", "--after", "8", "exp/jobs/2_feats.log", "false") == 0
    assert capfd.readouterr().out == "17\n" and len(list(Path("exp/jobs/q").iterdir())) == 1
    assert "--dependency=afterok:8" in cluster.called("sbatch")[0]


def in_a_job(cluster, folder, **variables):
    """slurm_job.py in a process of its own, as SLURM starts it: its status, and what it has left."""
    program = [sys.executable, "-ES", "-X", "utf8", str(slurm_submit.RUNNER), str(folder)]
    done = subprocess.run(program, env={**os.environ, "SLURM_JOB_ID": "18", **variables}, cwd="/", timeout=600)
    (left,) = folder.glob("exit.*")
    return done.returncode, left.name, json.loads(left.read_text())


def test_how_a_job_tells_its_end(cluster, monkeypatch):
    """And what reaches its command: the submission's variables win over the node's, others of the node stay."""
    monkeypatch.setenv("KDASR_X", "submitted")
    folder = submitted(
        "--num-threads", "2", "J=1:9", "x.J.log", "sh", "-c", "echo $OMP_NUM_THREADS $X $KDASR_X; kill -9 $$"
    )
    Path("x.7.log").write_text("of SLURM\n")
    (folder / "exit.7").write_text("of an attempt before")
    array = {
        "SLURM_ARRAY_JOB_ID": "17",
        "SLURM_ARRAY_TASK_ID": "7",
        "SLURMD_NODENAME": "n3",
        "SLURM_RESTART_COUNT": "2",
    }
    assert in_a_job(cluster, folder, **array, X="kept", KDASR_X="the node's") == (
        137, "exit.7", {"code": 137, "host": "n3", "id": "17_7", "restarts": 2},
    )  # fmt: skip
    assert body("x.7.log") == ["of SLURM", "2 kept submitted"]  # appended, in the directory of the submission
    assert "# Ended (code 137; signal 9)" in Path("x.7.log").read_text()


def test_an_order_of_slurm_s_is_waited_out(cluster, monkeypatch):
    """scancel: signals end the waiting for a busy controller, the order counts as given when the job is unknown."""
    pauses = []
    monkeypatch.setattr(slurm_queue, "slept", lambda seconds, *_: pauses.append(seconds) or True)
    cluster.says("scancel", complaint="scancel: error: Invalid job id 17")
    assert slurm_queue.cancel("17", []) and pauses == [0.5]
    cluster.says("scancel", complaint="scancel: error: Unable to contact slurm controller")
    pauses.clear()
    assert not slurm_queue.cancel("17", []) and pauses == [1, 5, 10] and len(cluster.called("scancel")) == 1 + 4
    cluster.says("scancel")
    cluster.says("squeue", "RUNNING\n")
    pauses.clear()
    assert slurm_queue.cancel("17", []) and pauses == [0.5, 1.5, 3, 5, 10, 20, 20]
    assert cluster.called("squeue")[-1] == ["--noheader", "--jobs=17", "-o", "%T"]
    monkeypatch.undo()
    assert not slurm_queue.slept(30, [15], 0) and slurm_queue.slept(0, [15], 1)
