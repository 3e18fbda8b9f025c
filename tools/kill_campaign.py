"""Kill a small recipe at random moments of every stage, in every way, and check that its results stay the same.

  tools/venv/bin/python tools/kill_campaign.py                           # 100 kills, half an hour on two processors
  tools/venv/bin/python tools/kill_campaign.py --kills 19 --stages data  # each way once, in one stage
  nice tools/venv/bin/python tools/kill_campaign.py --kills 400 --seed 7 --folder /scratch/kills 2>kills.log

The recipe is egs/wsj on a minute of synthetic speech with tiny networks (tests/recipes/micro.py), --nj 2. It is run to
its end twice; then, stage by stage, from what the stage before has left, it is killed, run again and killed again, and
in the end left to finish. The table has, for each stage and way, how many kills held: after each, no process of the
run may be left (they are known by a variable of their environment), no lock may be held, no file may be half-written
under its final name; and in the end every file has to be what it is without kills, byte by byte. Of files in which two
uninterrupted runs differ (times, dates), the words are compared in which these two agree. Exit status: 0, or 1 when
something did not hold; what that was stands under the table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "recipes"))

from micro import OPTIONS, copy_of_recipe  # noqa: E402

MARK = "KDASR_KILL_CAMPAIGN"
STAGES = ("data", "feats", "teacher", "nbest", "student", "decode", "score", "lm", "rescore", "report")
LM = "embed=8 hidden=12 last=10 experts=2 layers=2 streams=4 steps=8 epochs=4 stop=0"
SETTINGS = [*OPTIONS, "--hours", "0.02", "--nj", "2", "--lm_opts", LM, "--lm_objectives", "trust"]
SETTINGS += ["--lm_teacher_seeds", "1", "--rescore_beam", "4", "--lm_text_opts", "--apart --upper --sentences 200"]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
WAYS = [(who, number) for number in SIGNALS for who in ("group", "session", "shell", "run.py")]
WAYS += [(who, signal.SIGKILL) for who in ("keeper", "job", "worker")]
WHOM = ("group", "session", "shell", "run.py", "keeper", "job", "worker")
MOST = 4  # kills until a stage is left to finish
LEAVE = 10.0  # seconds within which all processes have to be gone
PATIENCE = 600.0  # seconds within which a run has to end
# Directories and files that are compared; what only one run can write like that is left out.
KEPT = ("data", "discs", "dump", "exp")
NOT_KEPT = re.compile(r"(^|/)(log|tensorboard)(/|$)|\.log$|\.lock[^/]*$|\.tmp(/|$)|\.old(/|$)|report\.txt$|\.pyc$")


# Times, which may happen to be the same in two runs: in records, in tables, in sclite's files; in a page, any number,
# and the audio, whose streams have a number drawn by chance.
TIMES = {
    ".md": re.compile(rb"(?<=\|)(\d+ (s|min|h)|\d+\.\d{3})(?=\|)"),
    ".sgml": re.compile(rb'(?<=creation_date=")[^"]*'),
    ".html": re.compile(rb"(?<=data:audio/ogg;base64,)[\w+/=]+|[\d.]+"),
}


# Of a record: times, what part of them went where, memory, how often a training was killed; and the checksum of the
# checkpoint, in which ESPnet's trainer keeps times.
TIMED = re.compile(r".*(cpu|wall|seconds?|rtfx)|begun|parts|shares|peak_bytes|interrupted|running|checkpoint\.pth")


class Process(NamedTuple):
    """A process of the run."""

    id: int
    parent: int
    group: int
    session: int
    words: tuple[str, ...]


class Kill(NamedTuple):
    """A kill, and what did not hold after it."""

    stage: str
    who: str
    signal: signal.Signals
    faults: list[str]


def processes(mark: str) -> list[Process]:
    """The processes whose environment has this mark, without those that have ended and are not yet taken in."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            state, *numbers = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if state != "Z":
                found.append(Process(int(folder.name), *map(int, numbers), tuple(words)))
    return found


class Recipe:
    """The recipe in its directory."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "egs" / "wsj"
        if not self.place.exists():
            copy_of_recipe(folder)
        self.mark = uuid.uuid4().hex
        self.lists: dict[str, str] = {}

    def start(self, stage: str, log: Path) -> subprocess.Popen[bytes]:
        """Start one stage, in a session of its own."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with log.open("ab") as stream:
            return subprocess.Popen(
                ["./run.sh", *SETTINGS, "--stage", stage, "--stop_stage", stage],
                cwd=self.place, env={**os.environ, "PATH": path, MARK: self.mark}, stdin=subprocess.DEVNULL,
                stdout=stream, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=default_signals,
            )  # fmt: skip

    def finish(self, stage: str, log: Path) -> float:
        """Run one stage to its end; the seconds that it took."""
        if stage == "rescore":
            self.lay_lists()
        began = time.monotonic()
        process = self.start(stage, log)
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{log}: stage {stage} does not end; look at the end of it") from None
        finally:
            self.clear()
        if status:
            raise SystemExit(f"{log}: stage {stage} ended with status {status}; see its messages there")
        return time.monotonic() - began

    def clear(self) -> list[Process]:
        """Kill what is left of the run; what that was."""
        left = found = processes(self.mark)
        while found:
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.id, signal.SIGKILL)
            time.sleep(0.05)
            found = processes(self.mark)
        return left

    def lay_lists(self) -> None:
        """Lists for stage 9 as a recogniser of words writes them: language models refuse what a tiny one says."""
        from kdasr.files import read_table
        from kdasr.nbest import archive
        from kdasr.shards import claim

        for name in ("test_dev93", "test_eval92"):
            folder = self.place / "exp/lm/first_pass/nbest_teacher" / name
            if (folder / ".done").exists():
                continue
            refs = read_table(self.place / "dump/fbank" / name / "text")
            records = []
            for key, text in refs.items():
                texts = list(dict.fromkeys((text, text.rpartition(" ")[0] or text, f"{text} {text.split()[0]}")))
                hyps = [
                    {"tokens": [3] * len(one), "text": one, "score": -float(rank), "scores": {"decoder": -float(rank)},
                     "ended": "eos"}
                    for rank, one in enumerate(texts)
                ]  # fmt: skip
                records.append({"id": key, "frames": 100, "hyps": hyps, "duplicates": 0, "stop": "end detected"})
            sizes = {"utterances": len(refs), "shards": 1, "shard_size": len(refs)}
            search = {"nbest": 4, "normalize_length": False}
            claim(folder, {"keys": archive.keys_digest(refs), **sizes, "search": search, "model": "0123"})
            archive.write_shard(folder, 0, records, dict.fromkeys(sorted(archive.STATS), 0) | {"parts": {}})
            (folder / ".done").touch()  # taken as it is, however it was made


def default_signals() -> None:
    """Before the recipe is started: whoever calls us in the background, or with nohup, has some ignored."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def victims(who: str, shell: int, run: list[Process], draw: random.Random) -> list[int]:
    """The processes that are to be killed; none while there is no such one."""
    if who == "shell":
        return [shell]
    if who in ("group", "session"):
        return [one.id for one in run if shell == (one.group if who == "group" else one.session)]
    by_id = {one.id: one for one in run}
    scripts = [one for one in run if any(word.endswith("utils/run.py") for word in one.words[:5])]
    keepers = [one for one in scripts if one.id == one.session and one.parent in by_id]
    fronts = [one for one in scripts if any(keeper.parent == one.id for keeper in keepers)]
    found = {one.id for one in keepers}
    jobs = [one for one in run if one.parent in found and one not in scripts]
    below = []
    found = {one.id for one in jobs}
    while more := [one for one in run if one.parent in found and one.id not in found]:
        below += more
        found |= {one.id for one in more}
    choice = {"run.py": fronts, "keeper": keepers, "job": jobs, "worker": below or jobs}[who]
    return [draw.choice(choice).id] if choice else []


# ------------------------------------------------------------------------------------------------- files


def files(place: Path) -> Iterator[tuple[str, Path]]:
    """What is compared, by name."""
    for top in KEPT:
        for path in [place / top, *(place / top).rglob("*")]:
            name = str(path.relative_to(place))
            if not NOT_KEPT.search(name) and (path.is_symlink() or path.is_file()):
                yield name, path


def content(path: Path) -> bytes:
    """What a file holds, but for times, or where a link leads."""
    if path.is_symlink():
        return f"-> {path.readlink()}".encode()
    value = path.read_bytes()
    if path.suffix == ".json":
        with contextlib.suppress(ValueError):
            return json.dumps(timeless(json.loads(value)), indent=1).encode()
    return TIMES[path.suffix].sub(b"0", value) if path.suffix in TIMES else value


def timeless(value: Any) -> Any:
    """A record without its times."""
    if isinstance(value, dict):
        return {key: timeless(one) for key, one in value.items() if not TIMED.fullmatch(key)}
    return [timeless(one) for one in value] if isinstance(value, list) else value


class Reference:
    """What two uninterrupted runs have left after a stage, and what was there before it."""

    def __init__(self, before: Path, first: Path, second: Path) -> None:
        self.before = {name: content(path) for name, path in files(before)}
        self.files = {name: content(path) for name, path in files(first)}
        other = {name: content(path) for name, path in files(second)}
        if self.files.keys() != other.keys():
            differing = sorted(self.files.keys() ^ other.keys())
            raise SystemExit(
                f"two uninterrupted runs write other files: {' '.join(differing[:5])}; there is nothing to compare with"
            )
        self.other = other  # what a picture of times shows may have other words in the two: either is right
        self.stable: dict[str, list[bool]] = {}  # of files in which they differ: the words in which they agree
        for name, value in self.files.items():
            if value != other[name]:
                one, two = words(value), words(other[name])
                self.stable[name] = [left == right for left, right in zip(one, two, strict=False)]

    def agrees(self, name: str, value: bytes) -> bool:
        """Whether this is what the file holds after an uninterrupted run, but for times."""
        final, stable = self.files.get(name), self.stable.get(name)
        if final is None or stable is None or value in (final, self.other[name]):
            return value == final or (final is not None and value == self.other[name])
        return alike(words(value), words(final), stable)

    def differences(self, place: Path) -> Iterator[str]:
        """What the finished stage has left otherwise than uninterrupted."""
        there = {name: content(path) for name, path in files(place)}
        for name in sorted(there.keys() | self.files.keys()):
            if name not in there:
                yield f"{name} is missing"
            elif name not in self.files:
                yield f"{name} is there, which an uninterrupted run does not write"
            elif not self.agrees(name, there[name]):
                yield f"{name} differs from an uninterrupted run's" + " in more than times" * (name in self.stable)

    def partial(self, place: Path) -> Iterator[str]:
        """Files that are neither what they were before or are in the end, nor whole in themselves."""
        for name, path in files(place):
            with contextlib.suppress(FileNotFoundError):  # a link to a file that is made after it
                value = content(path)
                if value != self.before.get(name) and not self.agrees(name, value) and not whole(path):
                    yield f"{name} is half-written ({path.stat().st_size} bytes)"


def words(value: bytes) -> list[bytes]:
    """The words of a text; a file that is none is one word."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return [value]
    return re.findall(rb"[\w.:+-]+|[^\w\s]", value)


def alike(one: list[bytes], two: list[bytes], stable: list[bool]) -> bool:
    """Whether two texts agree in the words that are the same in each run."""
    return len(one) == len(two) and all(
        left == right for left, right, same in zip(one, two, stable, strict=False) if same
    )


def whole(path: Path) -> bool:
    """Whether a file that will change is whole as it stands."""
    if path.is_symlink():
        return True
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            return all(json.loads(line) for line in path.read_text().splitlines()) and path.read_bytes()[-1:] == b"\n"
        elif path.suffix in (".pth", ".npz"):
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
        elif path.name == "plan.txt":
            return re.search(r"\n# \d+ steps?: .*\n\Z", path.read_text()) is not None
        elif path.suffix == ".yaml":
            import yaml

            try:
                return bool(yaml.safe_load(path.read_text())) and path.read_bytes()[-1:] == b"\n"
            except yaml.YAMLError:
                return False
        else:
            return path.name.startswith("events.out.")  # tensorboard's, which grows
    except (ValueError, zipfile.BadZipFile):
        return False
    return True


# ---------------------------------------------------------------------------------------------- campaign


def after(stage: str, number: int = 2) -> str:
    """The copy of the directory after a stage of an uninterrupted run."""
    return f"run{number}_after_{stage}"


def before(stage: str, number: int = 2) -> str:
    """The copy before it."""
    place = STAGES.index(stage)
    return after(STAGES[place - 1], number) if place else "start"


class Campaign:
    """The kills, one after the other."""

    def __init__(self, folder: Path, stages: list[str], kills: int, seed: int) -> None:
        self.folder = folder
        self.recipe = Recipe(folder)
        self.stages = stages
        self.draw = random.Random(seed)
        self.log = folder / "runs.log"
        self.kills: list[Kill] = []
        self.faults: list[str] = []
        self.took: dict[str, float] = {}
        self.slowest = 0.0  # seconds until nothing was left
        share = {name: kills // len(stages) + (place < kills % len(stages)) for place, name in enumerate(stages)}
        self.wanted = {stage: self.ways(share[stage]) for stage in stages}
        self.work = self.began = 0.0  # of the kills: seconds of their stages, and when they began

    def ways(self, number: int) -> list[tuple[str, signal.Signals]]:
        """So many ways, each as often as any other."""
        found: list[tuple[str, signal.Signals]] = []
        while len(found) < number:
            found += self.draw.sample(WAYS, len(WAYS))
        return found[:number]

    def save(self, name: str) -> None:
        """Keep a copy of the recipe's directory."""
        shutil.copytree(self.recipe.place, self.folder / name, symlinks=True)

    def restore(self, name: str) -> None:
        """Put the directory back as it was."""
        shutil.rmtree(self.recipe.place)
        shutil.copytree(self.folder / name, self.recipe.place, symlinks=True)

    def run(self) -> int:
        """All of it; the exit status."""
        last = STAGES.index(max(self.stages, key=STAGES.index)) + 1
        self.uninterrupted(STAGES[:last])
        self.began = time.monotonic()
        self.work = sum(len(ways) * self.took[stage] for stage, ways in self.wanted.items())
        try:
            while any(self.wanted.values()):  # round by round, so that one that is stopped has seen all stages
                for stage in self.stages:
                    if self.wanted[stage]:
                        self.trial(stage)
        except KeyboardInterrupt:
            say("stopped; this is what was found")
        print(self.table())
        reference = self.reference(self.stages[-1])
        print(f"\n{len(reference.files)} files compared, {len(reference.stable)} of them without times; ", end="")
        print(f"all processes were gone {self.slowest:.1f} s after the end of run.sh, or earlier")
        for fault in self.faults:
            print(f"did not hold: {fault}")
        return 1 if self.faults or any(self.wanted.values()) else 0

    def uninterrupted(self, stages: Sequence[str]) -> None:
        """Two runs without kills; what an earlier campaign has left of them in this folder is taken."""
        took = self.folder / "took.json"
        self.took = json.loads(took.read_text()) if took.exists() else {}
        if not (self.folder / "start").exists():
            self.save("start")
        for number in (1, 2):
            for stage in stages:
                if not (self.folder / after(stage, number)).exists():
                    say(f"uninterrupted run {number} of 2: {stage}")
                    self.restore(before(stage, number))
                    seconds = self.recipe.finish(stage, self.log)
                    self.took[stage] = min(seconds, self.took.get(stage, seconds))
                    took.write_text(json.dumps(self.took))
                    self.save(after(stage, number))

    def reference(self, stage: str) -> Reference:
        """The results of a stage that is not killed."""
        return Reference(*(self.folder / name for name in (before(stage), after(stage, 1), after(stage, 2))))

    def trial(self, stage: str) -> None:
        """Kill one stage several times, each time it continues, and let it finish at last."""
        reference = self.reference(stage)
        self.restore(before(stage))
        if stage == "rescore":
            self.recipe.lay_lists()
        first = len(self.kills)
        while self.wanted[stage] and len(self.kills) - first < MOST:
            if not self.kill(stage, reference, untouched=len(self.kills) == first):
                break
        try:
            self.recipe.finish(stage, self.log)
            faults = [f"{stage}: {fault}" for fault in reference.differences(self.recipe.place)]
        except SystemExit as error:
            faults = [str(error)]
        killed = self.kills[first:]
        for kill in killed:  # any of them may be the reason
            kill.faults.extend(faults)
        ways = ", ".join(f"{kill.who} {kill.signal.name}" for kill in killed)
        self.faults += [f"{fault} (killed by {ways or 'nobody'})" for fault in faults]

    def kill(self, stage: str, reference: Reference, *, untouched: bool) -> bool:
        """Start the stage and kill it at some moment; False if it has ended before."""
        who, number = self.wanted[stage][0]
        moment = self.draw.uniform(0.05, 0.95) * self.took[stage]
        began = time.monotonic()
        process = self.recipe.start(stage, self.log)
        chosen: list[int] = []
        while process.poll() is None and not chosen:
            left = began + moment - time.monotonic()
            if left > 0:
                time.sleep(min(left, 0.1))
            else:
                chosen = victims(who, process.pid, processes(self.recipe.mark), self.draw)
                time.sleep(0.0 if chosen else 0.005)
        if not chosen:  # on a machine that is less busy than before, it takes less
            if untouched:
                self.took[stage] = min(self.took[stage], time.monotonic() - began)
            return False
        self.wanted[stage].pop(0)
        for victim in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, number)
        faults = list(self.faults_after(process, reference))
        name = f"{stage}, {who} {number.name} after {moment:.2f} s"
        self.faults += [f"{name}: {fault}" for fault in faults]
        self.kills.append(Kill(stage, who, number, faults))
        self.progress(f"{name}: {'; '.join(faults) or 'held'}")
        return True

    def progress(self, message: str) -> None:
        """Say what has happened, and how long the rest will take."""
        todo = sum(len(ways) * self.took[stage] for stage, ways in self.wanted.items())
        spent = time.monotonic() - self.began
        left = spent * todo / max(self.work - todo, 0.1)
        total = len(self.kills) + sum(map(len, self.wanted.values()))
        say(f"{len(self.kills)} of {total} kills, about {left / 60:.0f} min left: {message}")

    def faults_after(self, process: subprocess.Popen[bytes], reference: Reference) -> Iterator[str]:
        """What does not hold after a kill."""
        began = time.monotonic()
        try:
            process.wait(
                PATIENCE
            )  # where one process was killed, the run ends by itself, at once or when others have ended
            began = time.monotonic()
        except subprocess.TimeoutExpired:
            yield f"run.sh goes on after {PATIENCE:.0f} s"
        while (left := processes(self.recipe.mark)) and time.monotonic() - began < LEAVE:
            time.sleep(0.05)
        self.slowest = max(self.slowest, time.monotonic() - began)
        if left:
            yield f"{len(left)} processes live on, as {' '.join(left[0].words)[:100]}"
            self.recipe.clear()
        lock = self.recipe.place / "exp/.lock"
        if lock.exists() and subprocess.run(["flock", "-n", lock, "true"], check=False).returncode:
            yield "exp/.lock is held"
        yield from reference.partial(self.recipe.place)

    def table(self) -> str:
        """Stages and ways: how many kills held, of how many."""
        made: Counter[tuple[str, str]] = Counter()
        held: Counter[tuple[str, str]] = Counter()
        for kill in self.kills:
            for row in (kill.stage, "all"):
                for column in (kill.who, kill.signal.name, "all"):
                    made[row, column] += 1
                    held[row, column] += not kill.faults
        columns = [*WHOM, *(number.name for number in SIGNALS), "all"]
        rows = [["held / kills", *columns]]
        for stage in [*self.stages, "all"]:
            rows.append([stage, *(f"{held[stage, one]} / {made[stage, one]}" for one in columns)])
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "| " + " | ".join(f"{cell:<{size}}" for cell, size in zip(row, wide, strict=True)) + " |" for row in rows
        ]
        lines.insert(1, "|" + "|".join("-" * (size + 2) for size in wide) + "|")
        return "\n".join(lines)


def say(message: str) -> None:
    """Progress, on stderr."""
    print(f"kill_campaign.py: {message}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the campaign of the command line, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many kills, spread over the stages (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and of the order of ways (default: 0)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="which stages (default: all)")
    parser.add_argument(
        "--folder", type=Path,
        help="where to work: a directory, which stays; another campaign takes its uninterrupted runs (default: none)",
    )  # fmt: skip
    args = parser.parse_args()
    if args.kills < len(args.stages):
        parser.error(f"--kills {args.kills}: expected {len(args.stages)} or more, one for each stage")
    if args.folder and args.folder.exists() and not (args.folder / "start").exists():
        parser.error(f"--folder {args.folder}: is there, but of no campaign; name a new one")
    if sys.platform != "linux":
        parser.error("processes are found in /proc, which only Linux has")
    folder = (args.folder or Path(tempfile.mkdtemp(prefix="kdasr-kills-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    campaign = Campaign(folder, sorted(args.stages, key=STAGES.index), args.kills, args.seed)
    try:
        return campaign.run()
    finally:
        campaign.recipe.clear()
        if not args.folder:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
