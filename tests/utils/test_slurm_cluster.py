"""tools/slurm_test_cluster.sh, and a recipe on the cluster that it brings up."""

import os
import shutil
import subprocess

import pytest
from slurm_lab import SCRIPT, gone
from stand_in import kd


def script(lab, *words, **environment):
    environment = {**os.environ, "KDASR_SLURM_LAB": str(lab), **environment}
    return subprocess.run([SCRIPT, *words], env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.cluster
def test_a_second_start_finds_the_cluster(slurm):
    daemons = ["munged", "slurmctld", *(f"slurmd.n{number}" for number in range(1, 5))]
    before = [slurm.daemon(name) for name in daemons]
    assert slurm.script("start") == f"export SLURM_CONF={slurm.folder}/slurm.conf\n"
    assert [slurm.daemon(name) for name in daemons] == before
    status = slurm.script("status")
    assert status.endswith(f"export SLURM_CONF={slurm.folder}/slurm.conf\n")
    assert all(f"n{number} " in status for number in range(1, 5)) and "idle" in status


def test_stop_ends_only_what_it_has_started(tmp_path):
    lab = tmp_path / "lab"
    (lab / "run").mkdir(parents=True)
    other = subprocess.Popen(["sleep", "600"])
    (lab / "run/slurmctld.pid").write_text(f"{other.pid}\n")  # as after a crash: the number is another process's now
    assert script(lab, "stop").returncode == 0 and lab.exists()  # not a directory of ours
    (lab / "kdasr-slurm-lab").touch()
    assert script(lab, "stop").returncode == 0 and not lab.exists()
    assert other.poll() is None
    other.kill()
    assert gone(other.pid)


@pytest.mark.cluster
@pytest.mark.parametrize(
    "lab, said",
    [
        ("relative", "expected an absolute path without blanks"),
        ("/tmp/" + 80 * "x", "too long for the name of a socket; set KDASR_SLURM_LAB to a shorter path"),
        ("{tmp_path}", "holds other things; set KDASR_SLURM_LAB to another directory"),
    ],
)
def test_directories_that_are_refused(slurm, tmp_path, lab, said):
    (tmp_path / "thing").touch()
    short = tmp_path if len(str(tmp_path)) < 80 else "/usr"
    done = script(lab.replace("{tmp_path}", str(short)), "start")
    assert done.returncode == 1 and said in done.stderr and done.stdout == ""


def test_without_slurm(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("bash", "id", "env"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    text = SCRIPT.read_text().replace('PATH="${PATH}:/usr/sbin:/sbin"', "")
    done = subprocess.run(
        ["bash", "-c", text, "x.sh", "start"], env={"PATH": f"{tmp_path}/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert (
        done.stderr == "x.sh: munged: not found; as root: apt-get install -y --no-install-recommends slurm-wlm munge\n"
    )


def test_usage_and_status_without_a_cluster(tmp_path):
    done = script(tmp_path, "begin")
    assert done.returncode == 2 and "slurm_test_cluster.sh start" in done.stderr
    done = script(tmp_path, "status")
    assert done.returncode == 1 and f"no cluster runs in {tmp_path}" in done.stderr


@pytest.mark.cluster
def test_a_recipe_s_stages_as_jobs(slurm, recipe):
    _, calls = kd(recipe, "--stop_stage", "2", RUN="slurm.py", SLURM_CONF=slurm.environment["SLURM_CONF"])
    assert calls[0].startswith("local/data.sh") and sum(call.startswith("feats ") for call in calls) == 9
    log = (recipe / "dump/fbank/train/log/feats.2.log").read_text()
    assert "SLURM job" in log and "--job 2/2\n" in log
    assert not list(recipe.glob("**/q"))
    # a failing job ends the recipe, and its log is shown
    words = ["--stage", "3", "--stop_stage", "3"]
    output, _ = kd(
        recipe,
        *words,
        status=1,
        RUN="slurm.py",
        SLURM_CONF=slurm.environment["SLURM_CONF"],
        FAIL="train exp/teacher_s1",
    )
    assert "slurm.py: job failed, log is in exp/teacher_s1/log/train.log" in output and "no such luck" in output
