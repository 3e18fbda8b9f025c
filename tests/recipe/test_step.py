"""A step's record: what is in it, what of it matters, and what differs."""

import hashlib
from dataclasses import replace

import pytest

from kdasr.errors import UserError
from kdasr.recipe.step import Command, Step, differences, full, is_done, mark_done, pasted, record


@pytest.fixture
def step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("out", "before"):
        (tmp_path / name).mkdir()
    (tmp_path / "before/.done").write_text("# made\nx=1\n")
    (tmp_path / "conf.yaml").write_text("a: 1\n")
    return Step(3, "out", (), {"seed": "1", "opts": "a\nb"}, ("conf.yaml", "before", "absent"))


def checksum(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_settings_and_checksums_of_what_is_there(step):
    conf, before = checksum("a: 1\n"), checksum("# made\nx=1\n")
    assert record(step).splitlines()[1:] == ["seed=1", "opts=a b", f"conf.yaml={conf}", f"before={before}"]


def changes(step, folder):
    """Ways in which a step may come to be made with something else, and how that is told."""
    yield replace(step, settings={**step.settings, "seed": "2"}), None, "seed was '1', now '2'"
    yield replace(step, settings={"seed": "1"}), None, "opts is gone"
    yield replace(step, settings={**step.settings, "more": "x"}), None, "more is new"
    yield replace(step, inputs=step.inputs[1:]), None, "conf.yaml is gone"
    yield step, ("conf.yaml", "a: 2\n"), "conf.yaml has changed"
    yield step, ("before/.done", "# made\nx=2\n"), "before has changed"
    yield step, ("absent", "x"), "absent is new"


def test_any_other_setting_or_input_is_told(step, tmp_path):
    mark_done(step)
    assert is_done(step)
    tried = list(changes(step, tmp_path))
    assert len(tried) == 7
    for other, file, said in tried:
        if file:
            there = (tmp_path / file[0]).read_text() if (tmp_path / file[0]).exists() else None
            (tmp_path / file[0]).write_text(file[1])
        with pytest.raises(UserError, match=said) as refused:
            is_done(other)
        assert "rm -r out and run again" in str(refused.value)
        assert not is_done(replace(other, remade=True))
        assert is_done(replace(other, taken=True))
        if file and there is None:
            (tmp_path / file[0]).unlink()
        elif file:
            (tmp_path / file[0]).write_text(there)
    assert is_done(step)


def test_comments_do_not_matter_and_an_empty_record_takes_what_is_there(step, tmp_path):
    mark_done(step)
    (tmp_path / "out/.done").write_text("# other words\n" + record(step).split("\n", 1)[1])
    assert is_done(step)
    (tmp_path / "out/.done").write_text("")
    assert is_done(replace(step, settings={"seed": "9"}))
    (tmp_path / "out/.done").unlink()
    assert not is_done(step)


def test_several_directories_are_done_together_and_files_have_to_be_there(step, tmp_path):
    (tmp_path / "second").mkdir()
    both = replace(step, also=("second",))
    mark_done(both)
    assert is_done(both) and (tmp_path / "second/.done").read_text() == record(both)
    (tmp_path / "second/.done").unlink()
    assert not is_done(both)
    mark_done(both)
    assert not is_done(replace(both, makes=("report.html",)))
    (tmp_path / "report.html").write_text("")
    assert is_done(replace(both, makes=("report.html",)))
    assert not is_done(replace(both, always=True))


def test_a_record_of_somebody_else_is_text():
    assert differences("no sign of\nx=$(rm)\n", "y=1\n") == "y is new; no sign of is gone; x is gone"


PROGRAMS = {"train": ("run.py",), "decode": ("slurm.py", "--mem", "1G"), "cuda": ("run.py",), "here": ("run.py", "-")}


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Command(("kdasr", "score", "a b"), "x.log"), "run.py x.log kdasr score 'a b'"),
        (Command(("p", "JOB"), "x.JOB.log", "decode", 4), "slurm.py --mem 1G JOB=1:4 x.JOB.log p JOB"),
        (Command(("p",), "x.log", "cuda", options=("--gpu", "2")), "run.py --gpu 2 x.log p"),
        (Command(("p",), "JOB.log", "decode", 4, ("--gpu", "2")), "slurm.py --mem 1G --gpu 2 JOB=1:4 JOB.log p"),
        (Command(("p",), on="here"), "run.py - p"),
        (Command(("p",), "a b.txt", on="here"), "run.py - p >'a b.txt'"),
    ],
)
def test_commands_are_written_for_a_shell(command, line):
    assert pasted(command, PROGRAMS) == line
    assert full(command, PROGRAMS)[-1] == command.words[-1]
