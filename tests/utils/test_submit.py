"""./run.sh --submit slurm: what is handed to slurm.py, stage by stage. (tests/recipes runs it on a cluster.)"""

import fcntl

import pytest
from stand_in import kd

# tells what it was called with, and a job's number
SLURM_PY = r"""#!/usr/bin/env bash
printf '%s\n' "$*" >>submitted.txt
(IFS=$'\x1f'; printf '%s\n' "$*" >>handed.txt)
[[ "$*" != *"${REFUSE:-none}"* ]] || { echo "slurm.py: SLURM does not take the job" >&2; exit 2; }
echo $((100 + $(wc -l <submitted.txt)))
"""


@pytest.fixture
def cluster(recipe):
    (recipe / "bin/submitter").write_text(SLURM_PY)
    (recipe / "bin/submitter").chmod(0o755)
    with (recipe / "cmd.sh").open("a") as stream:
        stream.write('[ "${cmd_backend:-}" != slurm ] || submit_cmd="submitter --mem 1G"\n')
    return recipe


def submitted(recipe):
    return [line.split() for line in (recipe / "submitted.txt").read_text().splitlines()]


def test_a_job_for_each_stage_after_the_one_before(cluster):
    output, calls = kd(cluster, "--submit", "slurm", "--stage", "feats", "--stop_stage", "nbest", "--beam", "7")
    assert [call for call in calls if not call.startswith("jobs")] == []  # nothing runs here
    jobs = submitted(cluster)
    for number, words in zip("234", jobs, strict=True):
        after = [] if number == "2" else ["--after", str(98 + int(number))]
        name = {"2": "feats", "3": "teacher", "4": "nbest"}[number]
        assert words[:4] == ["--mem", "1G", "--detach", "1"]
        assert words[4 : 4 + len(after)] == after
        assert words[4 + len(after)] == f"exp/jobs/{number}_{name}.log"
        assert words[5 + len(after)] == "env" and words[6 + len(after)] == "cmd_backend=slurm"
        assert words[7 + len(after)].endswith("/kd.sh")
        # the last one counts: kd.sh takes these as the user's, but for the stage, and not to submit again
        text = " ".join(words)
        assert "--beam 7" in text and text.endswith(
            f"--submit  --stage {number} --stop_stage {number}".replace("  ", " ")
        )
    assert "stage 3 (teacher): job 102 after job 101, log in exp/jobs/3_teacher.log" in output
    assert "kdasr jobs status exp shows how they stand" in output


def test_a_stage_that_slurm_does_not_take(cluster):
    output, _ = kd(cluster, "--submit", "slurm", status=1, REFUSE="3_teacher.log")
    assert "SLURM does not take the job" in output
    assert (
        "stage 3 (teacher) was not submitted; what was submitted before it goes on, or ends with: kdasr jobs cancel"
        in output
    )
    assert len(submitted(cluster)) == 3


def test_another_cluster(cluster):
    output, _ = kd(cluster, "--submit", "pbs", status=1)
    assert "--submit pbs: expected slurm" in output
    (cluster / "cmd.sh").write_text("train_cmd=quick decode_cmd=quick cuda_cmd=quick\n")
    output, _ = kd(cluster, "--submit", "slurm", status=1)
    assert "submit_cmd: no such command; cmd.sh has to set submit_cmd, as to slurm.py" in output


def test_wrong_options_are_refused_before_anything_is_submitted(cluster):
    output, _ = kd(cluster, "--submit", "slurm", "--beam", "none", status=1)
    assert "--beam none: expected a whole number" in output
    assert not (cluster / "submitted.txt").exists()


def test_words_with_blanks_and_nothing_stay_whole(cluster):
    words = ["--tag", "a  b", "--note", "", "--decode_opts", "--x 'c d'", "--beam", "4"]
    kd(cluster, *words, "--submit", "slurm", "--stage", "7", "--stop_stage", "7")
    handed = (cluster / "handed.txt").read_text().rstrip("\n").split("\x1f")
    given = ["--early_students", "false", "--students", "refs nbest pseudo oracle", *words, "--submit", "slurm"]
    assert handed[:5] == ["--mem", "1G", "--detach", "1", "exp/jobs/7_score.log"]
    last = ["--submit", "", "--stage", "7", "--stop_stage", "7"]
    assert handed[5:] == ["env", "cmd_backend=slurm", handed[7], *given, "--stage", "7", "--stop_stage", "7", *last]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ([], [1, 2, 3, 4, 5, 6, 7, 10, 11]),
        (["--lm", "true", "--stage", "7"], [7, 8, 9, 10, 11]),
        (["--stage", "rescore"], [9, 10, 11]),
        (["--stage", "7", "--stop_stage", "lm"], [7, 8]),
    ],
)
def test_the_stages_that_are_submitted(cluster, words, numbers):
    """Language models are asked for; each stage waits for the one before, wherever that is."""
    kd(cluster, "--submit", "slurm", *words)
    jobs = submitted(cluster)
    logs = [next(word for word in job if word.startswith("exp/jobs/")) for job in jobs]
    assert [int(log.split("/")[2].split("_")[0]) for log in logs] == numbers
    after = [job[job.index("--after") + 1] if "--after" in job else "" for job in jobs]
    assert after == ["", *(str(100 + n) for n in range(1, len(jobs)))]


def test_nothing_is_submitted_beside_what_waits_or_another_submission(cluster):
    output, _ = kd(cluster, "--submit", "slurm", status=1, FAIL="jobs*")
    assert "ERROR: nothing was submitted" in output
    (cluster / "exp/jobs").mkdir(exist_ok=True)
    with (cluster / "exp/jobs/.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # the weaker lock: who wants to be alone has to wait for this one, too
        output, _ = kd(cluster, "--submit", "slurm", status=1)
    assert "exp: another ./run.sh --submit is submitting right now; kdasr jobs status exp shows it" in output
    assert not (cluster / "submitted.txt").exists()
