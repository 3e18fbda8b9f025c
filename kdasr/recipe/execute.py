"""Carry out the steps of a plan: one run at a time; finished steps are not done again; processes run side by side."""

from __future__ import annotations

import fcntl
import os
import queue
import shlex
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from kdasr.announce import lasting
from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.recipe.screen import Screen, listening, log
from kdasr.recipe.step import Command, On, Step, finished, full, is_done, mark_done, pasted, record
from kdasr.recipe.work import Work

LOCK_WAIT = 30.0  # seconds to wait until the jobs of a killed run have ended
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}


class Failed(Exception):
    """A step has failed; its error is printed already, or in its log."""


class Stopped(Exception):
    """A signal has come; its argument is the exit status."""


@contextmanager
def only_run(expdir: str) -> Iterator[int]:
    """One run at a time in a directory of results; gives the number of the lock's file, which its jobs keep open.

    The lock is the kernel's. run.py closes other files, but keeps this one open in its jobs, which hold the
    lock while they live.

    Raises:
        UserError: another run works there.
    """
    Path(expdir).mkdir(parents=True, exist_ok=True)
    place = Path(expdir) / ".lock"
    lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    if not locked(lock):
        process, _, host = place.read_text().strip().partition(" ")
        alive = process and Path(f"/proc/{process}").is_dir()
        if host != os.uname().nodename or not process or alive:
            raise UserError(
                f"{expdir}: another run works here (process {process or 'unknown'} on {host or 'an unknown host'}); "
                f"wait for it, end it with kill {process}, or give this one another --expdir"
            )
        log(f"{expdir}: the jobs of a killed run (process {process}) are ending, waiting up to {LOCK_WAIT:.0f} s")
        until = time.monotonic() + LOCK_WAIT
        while not locked(lock):
            if time.monotonic() > until:
                raise UserError(
                    f"{expdir}: jobs of a killed run (process {process}) still work here; "
                    "end them (ps -ef | grep kdasr)"
                )
            time.sleep(0.1)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()} {os.uname().nodename}\n".encode())
    os.set_inheritable(lock, True)
    yield lock


def locked(lock: int) -> bool:
    """Try to take the lock; whether it worked."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Processes:
    """The commands that run, so that a signal ends them."""

    def __init__(self, programs: Mapping[On, tuple[str, ...]], lock: int, screen: Screen | None = None) -> None:
        self.programs, self.lock, self.screen = programs, lock, screen or Screen()
        self.running: set[subprocess.Popen[bytes]] = set()
        self.guard = threading.Lock()
        self.ending = False

    def run(self, command: Command) -> int:
        """Run one command to its end; its status."""
        fresh = f"{command.log}.tmp" if command.on == "here" and command.log else ""
        stream = open(fresh, "wb") if fresh else None  # noqa: SIM115
        with self.guard:
            if self.ending:
                return 143
            heard = subprocess.PIPE if self.screen.terminal else None  # else it would run into the line that is redrawn
            words = full(command, self.programs)
            process = subprocess.Popen(words, stdout=stream, stderr=heard, pass_fds=(self.lock,))
            self.running.add(process)
        try:
            for line in process.stderr or ():
                self.screen.passed_on(line.decode("utf-8", "replace"))
            status = process.wait()
        finally:
            with self.guard:
                self.running.discard(process)
            if stream:
                stream.close()
        if fresh and status == 0:
            os.replace(fresh, command.log)
        return status if status >= 0 else 128 - status

    def end(self) -> None:
        """End the commands that run, and wait for them; run.py ends its jobs, too."""
        with self.guard:
            self.ending = True
            left = list(self.running)
            for process in left:
                process.terminate()
        for process in left:
            process.wait()


class Run:
    """A run of some stages."""

    def __init__(self, work: Work, processes: Processes, screen: Screen | None = None) -> None:
        self.of, self.processes, self.screen = work, processes, screen or Screen()
        self.stage = work.stages[0]
        self.ended: queue.Queue[tuple[Step, bool]] = queue.Queue()
        self.under_way: list[Step] = []
        self.failed = False
        # steps of later stages that run beside this one, one after another: those that wait, and the one that runs
        self.early: list[Step] = []
        self.lane: Step | None = None
        self.early_failed = False
        self.lost: list[Step] = []  # steps of this stage that failed or were not begun

    def stages(self) -> None:
        """Run them all."""
        for number in self.of.stages:
            self.stage = number
            self.one_stage()
        self.finish_early()

    def one_stage(self) -> None:
        """Run one: what it needs first, then its steps."""
        name = self.of.name(self.stage)
        self.screen.stage(self.stage, name, self.of.purpose(self.stage), self.of.about(self.stage))
        todo = self.of.steps(self.stage)
        every = todo
        outs = {out for step in todo for out in (step.out, *step.also)}
        self.lost = []
        for step in todo:
            for number, path in step.needs:
                if path not in outs:
                    need(self.of, number, path)
        alike = self.stage in self.of.counted
        if alike:
            todo = [step for step in todo if not is_done(step)]
        self.screen.steps(len(every), len(every) - len(todo), alike)
        if self.of.early and outs.issuperset(self.of.early_after):
            first = [step for step in todo if step.out in self.of.early_after]
            self.pool(first)
            todo = [step for step in todo if step not in first]
            if not self.failed:
                self.early = self.of.early()
                self.next_early()
        begun = {step.out for step in (*self.early, *([self.lane] if self.lane else []))}
        todo = [step for step in todo if step.out not in begun]
        if self.lane and self.lane.out in outs:
            self.screen.joins(self.lane.out, self.lane.says)
        self.pool(todo)
        if begun & outs:  # they belong to this stage
            self.finish_early()
        if self.failed:
            raise Failed
        for step in every:
            if step.shows:
                table, _, _ = Path(step.shows).read_text().partition("\n\n")  # what follows is for the end of the run
                self.screen.text(f"{table.rstrip()}\n")
        self.screen.stage_ends()

    def pool(self, todo: Sequence[Step]) -> None:
        """Run steps side by side, each when those that it depends on are done; after a failure none is begun."""
        waiting = list(todo)
        while waiting or [step for step in self.under_way if step is not self.lane]:
            step = None if self.failed else self.next_of(waiting)
            if step is not None:
                waiting.remove(step)
                self.begin(step)
            elif not self.under_way or (self.failed and all(one is self.lane for one in self.under_way)):
                break
            else:
                self.wait()

    def next_of(self, waiting: Sequence[Step]) -> Step | None:
        """The first step that can begin now."""
        free = self.of.nj - len(self.under_way)
        unfinished = [step for step in (*waiting, *self.under_way, *self.early, *self.lost) if not step.always]
        for step in waiting:
            if any(depends(step, other) for other in unfinished if other is not step):
                continue
            others = [one for one in self.under_way if one is not self.lane]
            if (step.wide or step.always) and others:
                return None
            return step if free > 0 or (step.wide and not others) else None
        return None

    def begin(self, step: Step) -> None:
        """Begin a step, unless it is done."""
        name = self.of.name(step.stage)
        try:
            done = is_done(step)
        except UserError as error:
            self.screen.refuse(str(error), name)
            self.failed = True
            return
        if done:
            outs = ", ".join((step.out, *step.also)) if len(step.also) == 1 else step.out
            self.screen.done_already("" if step.quiet else outs, name)
            return
        self.screen.begins(step.out, step.says, name, step.stage == self.stage)
        self.under_way.append(step)
        threading.Thread(target=self.work, args=(step,), daemon=True).start()

    def work(self, step: Step) -> None:
        """A step's commands, one after the other."""
        well = False
        try:
            for command in step.commands:
                if self.processes.run(command) != 0:
                    return
                self.screen.lines(told(command))
            if not step.always:
                mark_done(step)
            well = True
        except OSError as error:
            self.screen.refuse(f"{step.out}: {error.strerror} ({error.filename})", self.of.name(step.stage))
        finally:
            self.ended.put((step, well))

    def ended_soon(self) -> tuple[Step, bool] | None:
        """A step that has ended, and whether well; None if none does in a moment."""
        with suppress(queue.Empty):
            return self.ended.get(timeout=0.2)
        return None

    def wait(self) -> None:
        """Wait until a step has ended."""
        # Not one wait without an end: a signal that comes just before it would be seen only after it.
        while (one := self.ended_soon()) is None:
            self.screen.tick()
        step, well = one
        self.under_way.remove(step)
        self.screen.ends(step.out)
        if step is self.lane:
            self.lane = None
            if well:
                self.next_early()
            else:
                self.early, self.lost = [], [step, *self.early]
                self.early_failed = True
        elif not well:
            self.failed = True

    def next_early(self) -> None:
        """Begin the next of them."""
        while self.early and self.lane is None and not self.failed:
            step = self.early.pop(0)
            before = len(self.under_way)
            self.begin(step)
            if len(self.under_way) > before:
                self.lane = step

    def finish_early(self) -> None:
        """Wait for them."""
        if self.lane:
            self.screen.say(f"waiting for steps that were begun beside another stage: {self.lane.out}")
        while self.lane:
            self.wait()
        if self.early_failed:
            raise Failed


def depends(step: Step, other: Step) -> bool:
    """Whether a step reads what another one writes: a directory that it finishes, or a file in it."""
    reads = (*step.inputs, *(path for _, path in step.needs))
    return any(f"{path}/".startswith(f"{out}/") for path in reads for out in (other.out, *other.also))


def need(work: Work, number: int, path: str) -> None:
    """UserError where what an earlier stage makes is not there, or not finished."""
    remedy = f"run stage {number} ({work.name(number)}) first: {work.program} --stage {number}"
    if not Path(path).exists():
        raise UserError(f"{path}: missing; {remedy}")
    if not finished(path):
        raise UserError(f"{path}: not finished; {remedy} (or touch {path}/.done if it was made in another way)")


def told(command: Command) -> str:
    """Lines of a command's log, where the command asks for it that they are shown."""
    if not command.tell:
        return ""
    lines = [line for line in Path(command.log).read_text(errors="replace").splitlines() if not line.startswith("#")]
    return "".join(f"  {line}\n" for line in (lines if command.tell == "all" else lines[-1:]))


def written(work: Work, programs: Mapping[On, tuple[str, ...]]) -> str:
    """The work as a text: steps, what they depend on, and commands that can be pasted into a shell."""
    states: Counter[str] = Counter()
    lines = [f"# {work.command}", f"# to paste these commands: cd {shlex.quote(str(Path.cwd()))} && . ./path.sh"]
    for stage in work.stages:
        lines += ["", f"# stage {stage} ({work.name(stage)}): {work.about(stage)}"]
        try:
            todo = work.steps(stage)
        except UserError as error:
            lines.append(f"# not known yet: {error}")
            continue
        for step in todo:
            try:
                state = "done" if is_done(step) else "to do"
            except UserError:
                state = "made with other settings or inputs"
            states[state] += 1
            lines += ["", f"# {' '.join((step.out, *step.also))} ({state})"]
            lines += [f"#   {line}" for line in record(step).splitlines()[1:]]
            lines += [pasted(command, programs) for command in step.commands]
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    return (
        "\n".join([*lines, "", f"# {states.total()} step{'s' * (states.total() != 1)}: {counts or 'none is known'}"])
        + "\n"
    )


def write_plan(work: Work, programs: Mapping[On, tuple[str, ...]]) -> None:
    """Write EXPDIR/plan.txt, if it says something else now."""
    place, text = Path(work.expdir) / "plan.txt", written(work, programs)
    if not place.is_file() or place.read_text() != text:
        with atomic_write(place) as stream:
            stream.write(text)


@contextmanager
def signals() -> Iterator[None]:
    """A signal that ends a run raises Stopped; those that were ignored stay so."""
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            raise Stopped(STATUS[signal.Signals(number)])

    for number in STATUS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    yield


def execute(work: Work, programs: Mapping[On, tuple[str, ...]]) -> int:
    """Run the stages; the exit status."""
    began, screen = time.monotonic(), Screen()
    with signals(), only_run(work.expdir) as lock, listening(screen):
        os.environ |= {"KDASR_RECIPE_PID": str(os.getpid()), "KDASR_LOCK_FD": str(lock)}
        screen.say(work.command)
        write_plan(work, programs)
        processes = Processes(programs, lock, screen)
        run = Run(work, processes, screen)
        status, said = 0, False
        try:
            run.stages()
        except Failed:
            status = 1
        except UserError as error:
            status, said = 1, True
            screen.refuse(str(error), work.name(run.stage))
        except Stopped as stopped:
            status = stopped.args[0]
        finally:
            processes.end()
        if status and not said:
            name = work.name(run.stage)
            screen.refuse(
                f"stopped in stage {run.stage} ({name}), status {status}; what is finished stays, and "
                f"{work.program} --stage {run.stage} with the same options goes on",
                name,
            )
        if not status:
            write_plan(work, programs)  # where everything is done now
            spent = time.monotonic() - began
            screen.say(f"finished, {lasting(spent) if screen.terminal else f'{spent:.0f} s'}")
            screen.text("".join(f"{line}\n" for line in work.closing()) if work.closing else "")
        return status
