"""The recipe egs/wsj on a cluster: a chain of stages, jobs that are killed and requeued, trainings over two nodes.

What the same recipe gives on this machine alone is the reference.
"""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from micro import STOCK, TINY, copy_of_recipe, finish, run
from slurm_lab import ended, gone, job_of

from kdasr.cli import main
from kdasr.nbest.archive import read_nbest, shard_path

pytestmark = [pytest.mark.recipe, pytest.mark.cluster]
STAGES = ["data", "feats", "teacher", "nbest", "student", "decode", "score"]
SUBMIT = ["--submit", "slurm", "--nj", "2", "--stage", "1", "--stop_stage", "7"]
LABELLED = "dump/fbank/train_si284_lab0.6"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="module")
def local(recipe):
    """The recipe's directory when it has run on this machine."""
    finish(run(recipe))
    return recipe


@pytest.fixture(scope="module")
def chain(slurm, tmp_path_factory):
    """Another copy of the recipe, to be run on the cluster."""
    directory = copy_of_recipe(tmp_path_factory.mktemp("cluster"))
    (directory / "conf/slurm.conf").unlink(missing_ok=True)
    return directory


@pytest.fixture(autouse=True)
def _in_the_cluster(slurm, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])


def status(directory, capsys):
    """Stage -> state, as kdasr jobs status tells."""
    capsys.readouterr()
    assert main(["jobs", "status", str(directory / "exp")]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    return {row[1]: row[3] for row in map(str.split, rows) if row and row[0].isdecimal()}


def until(condition, seconds=900):
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found


def results(directory):
    """What the recipe has found out: hypotheses, N-best, error counts."""
    exp = directory / "exp"
    found = {str(path.relative_to(exp)): path.read_text() for path in sorted(exp.glob("*/decode_*/*/text"))}
    for path in sorted(exp.glob("*/decode_*/*/score_*/score.json")):
        found[str(path.relative_to(exp))] = json.loads(path.read_text())["counts"]
    for path in sorted(exp.glob("*/nbest_*")):
        found[str(path.relative_to(exp))] = list(read_nbest(path))
    return found


def test_a_submission_that_is_killed_and_given_again_ends_as_the_local_run(local, chain, slurm, capsys):
    process = run(chain, *SUBMIT, environment=slurm.environment)
    for line in process.stdout:
        if "stage 2 (feats): job" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    # what was submitted ends without it
    states = until(lambda: (s := status(chain, capsys)) and not {"waiting", "running"} & {*s.values()} and s)
    assert list(states) == STAGES[: len(states)] and len(states) >= 2 and {*states.values()} == {"done"}
    output = finish(run(chain, *SUBMIT, environment=slurm.environment))
    jobs = re.findall(r"stage \d \((\w+)\): job (\d+)(?: after job (\d+))?, log in (\S+)", output)
    assert [name for name, *_ in jobs] == STAGES
    assert [after for _, _, after, _ in jobs] == ["", *[job for _, job, *_ in jobs[:-1]]]
    assert status(chain, capsys)["score"] == "waiting"
    again = run(chain, *SUBMIT, environment=slurm.environment)
    refusal, _ = again.communicate(timeout=600)
    assert again.returncode == 1 and "of an earlier submission is" in refusal and "Traceback" not in refusal
    states = until(lambda: (s := status(chain, capsys)) and not {"waiting", "running"} & {*s.values()} and s)
    assert states == dict.fromkeys(STAGES, "done")
    assert "done already" in (chain / "exp/jobs/1_data.log").read_text()
    theirs, ours = results(local), results(chain)
    assert len(ours) == 3 * 2 * (1 + 2) + 1  # models, ways to decode; texts and scores; N-best
    assert {name: theirs[name] for name in ours} == ours
    assert main(["jobs", "logs", str(chain / "exp"), "--lines", "3"]) == 0
    assert "7_score.log (done" in capsys.readouterr().out


def test_cancel_and_failure(chain, slurm, capsys):
    """A chain that is cancelled in its student stage, and one whose second stage fails."""
    words = [*SUBMIT, "--seeds", "2", "--stage", "5"]
    finish(run(chain, *words, environment=slurm.environment))
    students = [chain / "exp" / f"student_tiny_{name}_s2" for name in ("refs", "pseudo")]
    until(lambda: any((student / "settings.json").exists() for student in students))
    capsys.readouterr()
    assert main(["jobs", "status", str(chain / "exp")]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^5 student +\d+ +running +\d.* on n\d +\S*exp/jobs/5_student.log$", shown, re.M), shown
    assert re.search(r"^  train +\d+ +1 (running|pending) .*exp/student_tiny_\w+_s2/log/train.log$", shown, re.M), shown
    assert main(["jobs", "cancel", str(chain / "exp")]) == 0
    assert "student (job" in capsys.readouterr().out
    states = status(chain, capsys)
    assert [states[name] for name in ("student", "decode", "score")] == ["cancelled"] * 3
    assert str(chain) not in slurm.slurm("squeue", "-h", "-o", "%A %j %T %o")
    assert not any((student / ".done").exists() for student in students)
    # students go on where they were; a test set that is not there stops stage 6
    (chain / "dump/fbank/test_eval92/.done").rename(chain / "dump/fbank/test_eval92/.undone")
    finish(run(chain, *words, environment=slurm.environment))
    states = until(lambda: (s := status(chain, capsys)) and not {"waiting", "running"} & {*s.values()} and s)
    (chain / "dump/fbank/test_eval92/.undone").rename(chain / "dump/fbank/test_eval92/.done")
    assert all((student / ".done").exists() for student in students)
    assert (states["student"], states["decode"], states["score"]) == ("done", "failed", "not")
    assert main(["jobs", "logs", str(chain / "exp")]) == 0
    assert "6_decode.log (failed, status 1" in (said := capsys.readouterr().out) and "run stage 2 (feats)" in said


def test_nbest_elements_that_are_requeued(local, slurm, tmp_path):
    """Two of four elements are stopped after their first shard, and requeued: the archive is the undisturbed one's."""
    data, model = local / LABELLED, local / "exp/teacher_tiny_s1"
    command = ["--model", model, "--data", data, "--beam", "8", "--nbest", "3", "--shard_size", "1"]
    assert main(["nbest", *map(str, command), "--out", str(tmp_path / "whole")]) == 0
    words = ["kdasr", "nbest", *command, "--out", tmp_path / "cut", "--job", "JOB/4"]
    process = slurm.start(tmp_path, "JOB=1:4", "x.JOB.log", *words, PATH=PATH)
    for job in (2, 3):
        (pid,) = until(lambda job=job: processes(f"--job {job}/4", str(tmp_path)))
        first = job - 1  # of the shards that are this job's
        until(lambda first=first: shard_path(tmp_path / "cut", first).exists())
        os.kill(pid, signal.SIGSTOP)
        slurm.slurm("scontrol", "requeue", f"{job_of(tmp_path)}_{job}")
        assert gone(pid)
    code, _, err = ended(process, 600)
    assert code == 0 and err.count("was requeued by SLURM") == 2, err
    assert main(["nbest", *map(str, command), "--out", str(tmp_path / "cut"), "--merge"]) == 0
    assert list(read_nbest(tmp_path / "cut")) == list(read_nbest(tmp_path / "whole"))


def processes(*words):
    """Processes whose command line has all of these words."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_text().replace("\0", " ")
        except OSError:
            continue
        if all(word in line for word in words) and "slurm.py" not in line:
            found.append(int(file.parent.name))
    return found


def test_a_training_over_two_nodes(local, slurm, tmp_path):
    """One process on each of two nodes: the same model as one process makes, up to the order of sums."""
    config = TINY.format(**STOCK).replace("num_blocks: 1", "num_blocks: 1, dropout_rate: 0, positional_dropout_rate: 0")
    # Adam divides by what may be next to nothing, and makes much of the order of sums
    config = config.replace("optim: adam", "optim: sgd").replace("lr: 0.005", "lr: 0.02")
    # ESPnet joins batches of fewer utterances than processes: let there be none
    config = config.replace("batch_bins: 200000", "batch_bins: 600000").replace("epoch: 12", "epoch: 4")
    (tmp_path / "plain.yaml").write_text(config)
    command = [
        "train",
        "--config",
        tmp_path / "plain.yaml",
        "--train",
        local / LABELLED,
        "--tokens",
        local / "dump/tokens/char",
    ]
    command = [*map(str, [*command, "--valid", local / "dump/fbank/test_dev93"]), "--out"]
    assert main([*command, str(tmp_path / "one")]) == 0
    words = ["--num_nodes", "2", "x.log", "kdasr", *command, tmp_path / "two", "--nodes", "2"]
    process = slurm.start(tmp_path, *words, PATH=PATH)
    code, _, err = ended(process, 600)
    assert code == 0, err
    one, two = (torch.load(tmp_path / name / "valid.acc.ave.pth") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-5)
    # the second process is quiet
    assert (tmp_path / "x.log").read_text().count("The training was finished") == 1
