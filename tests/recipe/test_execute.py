"""Steps side by side: what waits for what, what a failure stops, and what runs beside a long stage."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from kdasr.errors import UserError
from kdasr.recipe import execute
from kdasr.recipe.execute import Failed, Processes, Run, need, only_run, written
from kdasr.recipe.step import Command, Step, is_done, mark_done
from kdasr.recipe.work import Work

PROGRAMS = dict.fromkeys(("train", "decode", "cuda"), ("env",)) | {"here": ("env",)}


def step(out, *inputs, stage=1, **more):
    """A step whose command is the words (out,)."""
    return Step(stage, out, (Command((out,), on="here"),), {}, inputs, **more)


class Gate:
    """In the place of processes: notes what runs beside what, and lets it end in the order that is wanted."""

    def __init__(self, fails=()):
        self.now, self.most, self.order, self.beside, self.fails = set(), 0, [], {}, fails
        self.guard = threading.Condition()
        self.hold, self.patience = {}, 20

    def run(self, command):
        (name,) = command.words
        with self.guard:
            self.order.append(name)
            self.now.add(name)
            self.beside[name] = set(self.now)
            self.most = max(self.most, len(self.now))
            self.guard.notify_all()
            self.guard.wait_for(lambda: all(one in self.order for one in self.hold.get(name, ())), self.patience)
            self.now.discard(name)
        return int(name in self.fails)


@pytest.fixture
def stages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*by_stage, nj=2, fails=(), hold=(), patience=20, **more):
        every = [one for steps in by_stage for one in steps]
        for one in every:
            for out in (one.out, *one.also):
                (tmp_path / out).mkdir(parents=True, exist_ok=True)
        work = Work(
            names=tuple("abcdefgh"), stages=list(range(1, len(by_stage) + 1)), steps=lambda n: list(by_stage[n - 1]),
            about=lambda _: "", expdir="exp", nj=nj, command="./run.sh", **more,
        )  # fmt: skip
        gate = Gate(fails)
        gate.hold, gate.patience = dict(hold), patience
        try:
            Run(work, gate).stages()
        except Failed:
            gate.order.append("failed")
        return gate

    return run


def test_as_many_as_asked_for_and_no_more(stages):
    names = [f"s{number}" for number in range(6)]
    gate = stages([step(name) for name in names], nj=3, hold={"s0": ["s2"], "s1": ["s2"]})
    assert gate.most == 3 and sorted(gate.order) == names


def test_what_needs_another_waits_for_it(stages):
    gate = stages([step("c", "b"), step("b", "a"), step("a"), step("d")], nj=4, hold={"a": ["d"]})
    assert gate.order.index("a") < gate.order.index("b") < gate.order.index("c")
    assert "a" in gate.beside["d"]
    assert is_done(step("c", "b"))


def test_a_file_in_what_another_finishes_is_waited_for(stages):
    gate = stages([step("late", "text/train.txt"), step("text"), step("texts")], nj=3, hold={"text": ["texts"]})
    assert gate.order.index("late") > gate.order.index("text")
    assert "text" not in gate.beside["late"]


def test_what_is_done_is_not_done_again_and_what_depends_on_it_holds(stages):
    steps = [step("a"), step("b", "a")]
    assert stages(steps).order == ["a", "b"]
    assert stages(steps).order == []


def test_after_a_failure_nothing_is_begun_and_what_runs_ends(stages, tmp_path):
    gate = stages(
        [step("a"), step("b"), step("c")],
        [step("d", stage=2)],
        fails=["a"],
        hold={"b": ["failed"], "a": ["b"]},
        patience=0.3,
    )
    assert "c" not in gate.order and "d" not in gate.order and gate.order[-1] == "failed"
    assert (tmp_path / "b/.done").exists() and not (tmp_path / "a/.done").exists()


def test_a_wide_step_is_alone(stages):
    # a ends only when w has begun, and w when b has; as neither happens, each ends when its patience does
    gate = stages([step("a"), step("w", wide=True), step("b")], nj=3, hold={"a": ["w"], "w": ["b"]}, patience=0.3)
    assert gate.beside["w"] == {"w"} and gate.order == ["a", "w", "b"]


EARLY = {"early_after": ("tokens",), "early": lambda: [step("e1", stage=3), step("e2", stage=3)]}


def test_early_steps_take_one_process_once_what_they_need_is_there(stages):
    last = [step("e1", stage=3), step("e2", stage=3), step("s", "e1", stage=3)]
    gate = stages(
        [step("tokens"), step("t1"), step("t2")], [step("n", stage=2)], last, nj=2, hold={"e1": ["n"]}, **EARLY
    )
    assert gate.order[0] == "tokens" and gate.beside["t1"] <= {"t1", "e1"} and gate.beside["t2"] <= {"t2", "e1"}
    assert "e1" in gate.beside["n"]
    assert sorted(gate.order) == ["e1", "e2", "n", "s", "t1", "t2", "tokens"]  # none twice
    assert gate.order.index("s") > gate.order.index("e1") and gate.most == 2


def test_an_early_step_is_one_of_those_side_by_side(stages):
    last = [step("e1", stage=3), step("e2", stage=3)]
    hold = {"t1": ["t2"], "e1": ["t2"]}  # both go on until t2 begins, which has to wait until one of them ends
    gate = stages([step("tokens"), step("t1"), step("t2")], [], last, nj=2, hold=hold, patience=0.3, **EARLY)
    assert gate.most == 2 and gate.beside["e1"] | gate.beside["t1"] == {"e1", "t1"}


def test_an_early_failure_ends_the_run_after_the_other_stages(stages):
    gate = stages([step("tokens"), step("t1")], [step("n", stage=2)], nj=2, fails=["e1"], **EARLY)
    assert gate.order[-1] == "failed" and "n" in gate.order and "e2" not in gate.order


THREE = {"early_after": ("tokens",), "early": lambda: [step(f"e{n}", stage=2) for n in (1, 2, 3)]}
GO_ON = [*THREE["early"](), step("s1", "e1", stage=2), step("s3", "e3", stage=2)]  # from the first and the last of them


def test_what_goes_on_from_an_early_step_waits_for_it_however_late_that_begins(stages):
    gate = stages([step("tokens"), step("t")], GO_ON, nj=3, hold={"e1": ["t"]}, **THREE)
    assert gate.order.index("s1") > gate.order.index("e1") and gate.order.index("s3") > gate.order.index("e3")
    assert sorted(gate.order) == ["e1", "e2", "e3", "s1", "s3", "t", "tokens"]
    assert is_done(step("s3", "e3", stage=2)) and all(f"e{n}" not in gate.beside["s3"] for n in (1, 2, 3))


def test_what_goes_on_from_an_early_step_that_failed_is_not_begun(stages):
    """Neither from the one that failed, nor from those that were to follow it."""
    last = [*GO_ON, step("u", stage=2)]
    gate = stages([step("tokens"), step("t")], last, nj=3, fails=["e1"], hold={"e1": ["u"]}, **THREE)
    assert sorted(gate.order) == ["e1", "failed", "t", "tokens", "u"]


def test_after_a_failure_no_early_step_is_begun(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run(Work(("a",), [1], lambda _: [], lambda _: "", "exp", 2, ""), Gate())
    run.early, run.failed = [step("e1")], True
    run.next_early()
    assert run.processes.order == [] and run.lane is None


def test_an_early_step_that_failed_is_tried_again_in_its_stage(stages):
    gate = stages(
        [step("tokens"), step("t")], [step("n", stage=2)], GO_ON, nj=3, fails=["e1"], hold={"t": ["e1"]}, **THREE
    )
    assert gate.order.count("e1") == 2 and gate.order[-1] == "failed" and "s1" not in gate.order


def test_stages_of_many_steps_tell_a_number(stages, capsys):
    stages([step("a", quiet=True), step("b", quiet=True)], counted=(1,))
    assert "0 of 2 were done already" in capsys.readouterr().out
    stages([step("a", quiet=True), step("b", quiet=True), step("c", quiet=True)], counted=(1,))
    assert "2 of 3 were done already" in capsys.readouterr().out


def test_what_is_missing_is_told_before_anything_runs(stages):
    with pytest.raises(UserError, match=r"gone: missing; run stage 1 \(a\) first: ./run.sh --stage 1"):
        stages([step("x")], [step("y", stage=2, needs=((1, "gone"),))])


def test_an_unfinished_directory_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half").mkdir()
    work = Work(("a",), [1], lambda _: [], lambda _: "", "exp", 1, "", program="./frames.sh")
    with pytest.raises(
        UserError, match=r"half: not finished; run stage 1 \(a\) first: ./frames.sh --stage 1 \(or touch"
    ):
        need(work, 1, "half")


def test_a_process_has_the_lock_and_its_status_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with only_run("exp") as lock:
        processes = Processes(PROGRAMS, lock)
        assert processes.run(Command(("sh", "-c", f"test -e /proc/self/fd/{lock}"), on="here")) == 0
        assert processes.run(Command(("sh", "-c", "exit 3"), on="here")) == 3
        assert processes.run(Command(("sh", "-c", "kill -9 $$"), on="here")) == 137
        assert processes.run(Command(("echo", "table"), "t.txt", on="here")) == 0
        assert (tmp_path / "t.txt").read_text() == "table\n"
        assert processes.run(Command(("sh", "-c", "echo half; exit 1"), "u.txt", on="here")) == 1
        assert not (tmp_path / "u.txt").exists()
        processes.end()
        assert processes.run(Command(("true",), on="here")) == 143  # nothing is begun any more


def test_the_plan_says_what_is_done_and_what_each_step_is_made_with(stages, tmp_path):
    one = Step(1, "a", (Command(("p", "x y"), "a.log"),), {"seed": "1"}, ())
    work = Work(("a", "b"), [1], lambda _: [one], lambda _: "reads x, writes y", "exp", 1, "./run.sh --nj 1")
    (tmp_path / "a").mkdir()
    text = written(work, PROGRAMS)
    assert text.splitlines()[0] == "# ./run.sh --nj 1"
    steps = "# a (to do)\n#   seed=1\nenv a.log p 'x y'\n\n# 1 step: 1 to do\n"
    assert text.endswith(f"# stage 1 (a): reads x, writes y\n\n{steps}")


def test_a_plan_tells_what_cannot_be_known_and_what_differs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    steps = [step("a"), step("b", also=("c",))]
    mark_done(steps[0])
    (tmp_path / "b/.done").write_text("seed=1\n")
    (tmp_path / "c/.done").write_text("")

    def of(number):
        if number == 2:
            raise UserError("exp: no scores")
        return steps

    text = written(Work(("x", "y"), [1, 2], of, lambda _: "", "exp", 1, ""), PROGRAMS)
    assert "# a (done)\n" in text and "# b c (made with other settings or inputs)\n" in text
    assert "# stage 2 (y): \n# not known yet: exp: no scores\n" in text
    assert f"cd {tmp_path} && . ./path.sh" in text


def test_an_always_step_is_alone_behind_the_others_and_leaves_no_record(stages, tmp_path):
    gate = stages([step("a"), step("b"), step("exp", always=True)], nj=3, hold={"a": ["b"]})
    assert gate.beside["exp"] == {"exp"} and not (tmp_path / "exp/.done").exists()
    assert stages([step("a"), step("exp", always=True), step("b")], nj=3).order == ["exp"]


def test_both_directories_of_a_step_are_waited_for_and_marked(stages, tmp_path):
    one = step("lab", also=("unlab",))
    gate = stages([step("n", "unlab"), step("m", stage=1, needs=((1, "lab"),)), one], nj=3)
    assert gate.order[0] == "lab"
    assert (tmp_path / "lab/.done").exists() and (tmp_path / "unlab/.done").exists()


def test_what_another_step_of_the_stage_makes_need_not_be_there(stages):
    assert stages([step("b", needs=((1, "a"), (1, "c"))), step("a", also=("c",))]).order == ["a", "b"]


def test_a_failed_command_ends_its_step(stages, tmp_path):
    both = Step(1, "a", (Command(("first",), on="here"), Command(("second",), on="here")), {}, ())
    assert stages([both], fails=["first"]).order == ["first", "failed"]
    assert not (tmp_path / "a/.done").exists()
    assert stages([both], fails=["second"]).order == ["first", "second", "failed"]
    assert stages([both]).order == ["first", "second"] and (tmp_path / "a/.done").exists()


def test_what_was_made_otherwise_stops_the_stage_and_is_told(stages, tmp_path, capsys):
    stages([step("a")])
    gate = stages([Step(1, "a", (Command(("a",), on="here"),), {"seed": "2"}, ()), step("b", "a")])
    assert gate.order == ["failed"]
    assert "(a) ERROR: a: made with other settings or inputs (seed is new): rm -r a" in capsys.readouterr().err


def test_a_directory_that_cannot_be_marked_is_told(stages, tmp_path, capsys):
    gate = stages([step("a", also=("gone",))], hold={})
    assert gate.order == ["a"]
    (tmp_path / "a/.done").unlink()
    (tmp_path / "gone/.done").unlink()
    (tmp_path / "gone").rmdir()
    work = Work(("a",), [1], lambda _: [step("a", also=("gone",))], lambda _: "", "exp", 1, "")
    with pytest.raises(Failed):
        Run(work, Gate()).stages()
    assert "ERROR: a: No such file or directory (gone/.done.tmp)" in capsys.readouterr().err
    assert not (tmp_path / "a/.done").exists()


def test_a_table_is_shown_in_the_end_also_when_it_was_done(stages, tmp_path, capsys):
    (tmp_path / "t.txt").write_text("| the table |\n")
    for _ in range(2):
        stages([step("a", shows="t.txt")])
        assert capsys.readouterr().out.endswith("| the table |\n")


def test_a_table_of_a_stage_whose_steps_are_counted_is_shown_when_it_was_done(stages, tmp_path, capsys):
    (tmp_path / "t.txt").write_text("| the table |\n")
    for order in (["a"], []):
        assert stages([step("a", shows="t.txt")], counted=(1,)).order == order
        assert capsys.readouterr().out.endswith("| the table |\n")


def test_what_is_said_of_a_step(stages, capsys):
    two, three = step("a", also=("b",), says="begins"), step("c", also=("d", "e"))
    stages([two, three, step("q", quiet=True)])
    assert "(a) begins\n" in capsys.readouterr().out
    stages([two, three, step("q", quiet=True)])
    told = capsys.readouterr().out
    assert "(a) a, b: done already\n" in told and "(a) c: done already\n" in told and "q: done" not in told


def test_lines_of_a_log_are_told(tmp_path):
    (tmp_path / "log").write_text("# run by x\none\ntwo\n# ended\n")
    for tell, told in (("", ""), ("last", "  two\n"), ("all", "  one\n  two\n")):
        assert execute.told(Command(("x",), str(tmp_path / "log"), tell=tell)) == told


def test_a_second_run_is_refused_and_jobs_of_a_killed_one_are_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "LOCK_WAIT", 0.3)
    place = tmp_path / "exp"
    with only_run(str(place)) as lock:
        assert (place / ".lock").read_text() == f"{os.getpid()} {os.uname().nodename}\n"
        assert os.get_inheritable(lock)
        with (
            pytest.raises(UserError, match=rf"another run works here \(process {os.getpid()} on "),
            only_run(str(place)),
        ):
            pass
        ended = subprocess.Popen(["true"])
        ended.wait()
        (place / ".lock").write_text(f"{ended.pid} {os.uname().nodename}\n")
        with (
            pytest.raises(UserError, match=rf"jobs of a killed run \(process {ended.pid}\) still"),
            only_run(str(place)),
        ):
            pass
        threading.Timer(0.1, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        with only_run(str(place)):
            assert (place / ".lock").read_text().startswith(f"{os.getpid()} ")
        os.close(lock)


def test_a_run_on_another_machine_is_not_waited_for(tmp_path):
    (tmp_path / ".lock").write_text("1 elsewhere\n")
    with (tmp_path / ".lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"process 1 on elsewhere\)"), only_run(str(tmp_path)):
            pass


WHOLE = """
import sys
from kdasr.errors import UserError
from kdasr.recipe.execute import execute
from kdasr.recipe.step import Command, Step
from kdasr.recipe.work import Work
step = Step(1, "a", (Command(("sh", "-c", sys.argv[1]), on="here"),), {}, ())
def steps(_):
    if sys.argv[1] == "refuse":
        raise UserError("exp: no scores")
    return [step]
sys.exit(execute(Work(("x",), [1], steps, lambda _: "", "exp", 1, "./run.sh"), {"here": ("env",)}))
"""


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("true", 0, "finished, "),
        ("refuse", 1, "(x) ERROR: exp: no scores"),
        ("exit 3", 1, "stopped in stage 1 (x), status 1; what is finished stays, and ./run.sh --stage 1"),
        ("kill -INT $KDASR_RECIPE_PID; exec sleep 30", 130, "stopped in stage 1 (x), status 130"),
        ("kill -TERM $KDASR_RECIPE_PID; exec sleep 30", 143, "stopped in stage 1 (x), status 143"),
        ("kill -HUP $KDASR_RECIPE_PID; exec sleep 30", 143, "stopped in stage 1 (x), status 143"),
        ('test -e "/proc/self/fd/${KDASR_LOCK_FD:?}" && ! flock -n exp/.lock true', 0, "finished, "),
        ('echo hello >"$KDASR_PROGRESS"', 0, "hello\n"),
    ],
)
def test_a_whole_run(tmp_path, script, status, said):
    (tmp_path / "a").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WHOLE, script], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)],
    )  # fmt: skip
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stderr
    assert (tmp_path / "a/.done").exists() == (status == 0)
    assert (tmp_path / "exp/plan.txt").read_text().startswith("# ./run.sh\n")
    assert done.stderr.count("ERROR") == int(status != 0)


def test_signals_that_were_ignored_stay_so():
    before = {number: signal.getsignal(number) for number in execute.STATUS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as tests may run in the background
        with execute.signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            with pytest.raises(execute.Stopped) as stopped:
                signal.raise_signal(signal.SIGINT)
            assert stopped.value.args == (130,)
            signal.raise_signal(signal.SIGTERM)  # a second one is on its way to the same end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("reads", "makes", "waits"),
    [("a", "a", True), ("a/b", "a", True), ("ab", "a", False), ("a", "a/b", False), ("ab/c", "a", False)],
)
def test_what_depends_on_what(reads, makes, waits):
    assert execute.depends(step("x", reads), step(makes)) == waits
    assert execute.depends(step("x", needs=((1, reads),)), step("y", also=(makes,))) == waits
