"""What kdasr.json says a model is."""

import argparse
import subprocess

import pytest

from kdasr import revision
from kdasr.asr import facts
from kdasr.bin import train as command
from kdasr.errors import UserError


def parsed(*words, out="exp/m", targets=None):
    """A training of these options."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    needed = ["--config", "c", "--train", "t", "--valid", "v", "--tokens", "k", "--out", out]
    return command.read_arguments(parser.parse_args([*needed, *(["--targets", targets] if targets else []), *words]))


def test_facts_of_a_student_and_its_teacher(tmp_path):
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher/valid.acc.ave.pth").write_bytes(b"weights")
    words = ("--role", "student", "--recipe", "nbest", "--learned_from", "hypotheses", "--network", "long")
    args = parsed(*words, "--teacher", "teacher", "--label", "a label", out=str(tmp_path / "m"), targets="t")
    found = facts.facts(args, soft_targets=True)
    assert found.pop("git") == revision.revision()
    assert found == {
        "role": "student", "label": "a label", "network": "long", "recipe": "nbest", "learned_from": "hypotheses",
        "baseline": False, "oracle": False, "soft_targets": True, "teacher": "teacher",
        "teacher_model": found["teacher_model"],
    }  # fmt: skip
    # as decodings record it
    assert found["teacher_model"] == facts.digest(tmp_path / "teacher/valid.acc.ave.pth")


def test_what_is_not_known_is_not_said(tmp_path):
    alone = facts.facts(parsed("--role", "student", out=str(tmp_path / "m")), False)
    assert "recipe" not in alone and alone["learned_from"] == "references" and alone["label"] == "student"
    taught = facts.facts(parsed("--role", "student", "--teacher", "none", out=str(tmp_path / "m"), targets="t"), False)
    assert "learned_from" not in taught and "teacher_model" not in taught and taught["teacher"] == "none"
    teacher = facts.facts(parsed(out=str(tmp_path / "m")), False)
    assert (teacher["role"], teacher["recipe"]) == ("teacher", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--role", "student", "--recipe", "x", "--baseline", "--oracle"), "has seen more labels is no baseline"),
        (("--baseline",), "add --role student"),
        (("--oracle",), "add --role student"),
        (("--role", "student", "--baseline"), "expected --recipe too"),
    ],
)
def test_contradictions_are_refused(words, said):
    with pytest.raises(UserError, match=said):
        facts.check(parsed(*words))
    facts.check(parsed("--role", "student", "--recipe", "x", "--baseline"))
    facts.check(parsed("--role", "student", "--oracle"))


def test_a_revision_says_whether_files_were_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(revision, "__file__", str(tmp_path / "revision.py"))
    assert revision.revision() == "unknown"  # no repository

    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    git("init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    git("add", "a.py")
    git("commit", "-qm", "one")
    git("tag", "v1")
    clean = revision.revision()
    assert 7 <= len(clean) <= 12 and int(clean, 16)
    (tmp_path / "new.txt").write_text("not tracked\n")
    assert revision.revision() == clean
    (tmp_path / "a.py").write_text("2\n")
    assert revision.revision() == f"{clean}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision.revision() == "unknown"  # no git
