#!/usr/bin/env python3
"""Put plausible mistakes into the code, one at a time, and see whether the tests notice them.

  make mutants                                               # all of them: the table, and who survived
  tools/venv/bin/python tools/mutants.py --random 20         # what CI runs; the seed is printed
  tools/venv/bin/python tools/mutants.py --random 20 --seed 7
  tools/venv/bin/python tools/mutants.py --only losses       # one list, or a file or folder, or words of a mistake
  tools/venv/bin/python tools/mutants.py --list              # what there is; runs nothing

The mistakes are in tests/mutants/*.yaml, a file for each part of the code:

  tests: [tests/losses]                # what is run for the mistakes that name no tests of their own
  mistakes:
    - mistake: word-level KD is summed over the batch   # in words
      file: kdasr/losses/word.py
      from: "return total / batch"     # this text, which is there exactly once, ...
      to: "return total"               # ... becomes this
      tests: [tests/losses/test_word.py]                # optional
      harmless: why no test can notice it               # optional; it may survive then

Each mistake is made in a copy of the working tree (files that git knows or would add), and its tests are run there
until the first fails: in a child of this process, which has imported torch and pytest for all. Before that, the same
tests are run without any mistake: they have to pass. A mistake that no test notices survives; exit status 1 when one
survives that is not listed as harmless, when a mistake cannot be made (its text is not there once) or breaks the module
that it is in, and when a harmless one is noticed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import yaml

ROOT = Path(__file__).resolve().parents[1]
LISTS = ROOT / "tests" / "mutants"
KEYS = {"mistake", "file", "from", "to", "tests", "harmless"}
PASSED, FAILED = 0, 1  # pytest's exit statuses
PATIENCE = 300.0  # seconds; the tests of a mistake take some, so those that are still at it hang
# A failing example need not be made small (KDASR_SHRINK, tests/properties.py): one failure is enough.
PYTEST = ("-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "--disable-warnings")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "KDASR_SHRINK": "0"}


class Mistake(NamedTuple):
    """One plausible wrong line, and the tests that should notice it."""

    area: str
    words: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]
    harmless: str

    def text(self, root: Path) -> str:
        """The text of its file with the mistake in it.

        Raises ValueError where the right text is not there exactly once, or where the result is no Python.
        """
        where = f"{self.area}.yaml: '{self.words}'"
        path = root / self.file
        if not path.is_file():
            raise ValueError(f"{where}: there is no {self.file}; name the file that the code is in now")
        text = path.read_text()
        if (times := text.count(self.right)) != 1:
            raise ValueError(
                f"{where}: its 'from' is in {self.file} {times} times, not once; write it as it is there now"
            )
        wrong = text.replace(self.right, self.wrong)
        if self.file.endswith(".py"):
            try:
                ast.parse(wrong)
            except SyntaxError as error:
                raise ValueError(f"{where}: with it {self.file} is no Python: {error}") from None
        return wrong


def read(path: Path) -> list[Mistake]:
    """The mistakes of one list. Raises ValueError for what is missing or misspelt."""
    table = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    mistakes = []
    for entry in table["mistakes"]:
        unknown = set(entry) - KEYS
        missing = {"mistake", "file", "from", "to"} - set(entry)
        if unknown or missing:
            raise ValueError(
                f"{path.name}: {entry.get('mistake', entry)}: unknown {sorted(unknown)}, missing {sorted(missing)}"
            )
        tests = entry.get("tests", table["tests"])
        for test in tests:
            if not (ROOT / test.split("::")[0]).exists():
                raise ValueError(f"{path.name}: '{entry['mistake']}': there is no {test}")
        if entry["from"] == entry["to"]:
            raise ValueError(f"{path.name}: '{entry['mistake']}' changes nothing")
        mistakes.append(
            Mistake(
                path.stem,
                entry["mistake"],
                entry["file"],
                entry["from"],
                entry["to"],
                tuple(tests),
                entry.get("harmless", ""),
            )
        )
    return mistakes


def all_mistakes() -> list[Mistake]:
    """Those of every list, in the lists' order."""
    return [mistake for path in sorted(LISTS.glob("*.yaml")) for mistake in read(path)]


def copy_of_tree(folder: Path) -> Path:
    """The working tree's own files, with the virtual environment linked."""
    names = (
        subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .split("\0")
    )
    tree = folder / "kdasr"  # tests look for data beside the checkout, so the copy is one folder deep, too
    for name in filter(None, names):
        if (ROOT / name).is_file():  # not: deleted, but not yet committed
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    if (ROOT.parent / "shared").exists():
        (folder / "shared").symlink_to(ROOT.parent / "shared")
    (tree / "tools/venv").symlink_to(ROOT / "tools/venv")
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=mutants", "-c", "user.email=mutants@localhost", "commit", "-qm", "copy"],
    ):
        subprocess.run(["git", *words], cwd=tree, check=True, capture_output=True)  # some tests ask git
    return tree


class Tests:
    """Tests that run in a copy, in a child process of its own session."""

    def __init__(self, tree: Path, tests: Sequence[str]) -> None:
        self.began = time.monotonic()
        self.output = tree.parent / "output.txt"
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            child(tree, tests, self.output)

    def status(self, patience: float) -> int | None:
        """Pytest's exit status; None while they run. Those that run longer than `patience` are ended: they failed."""
        pid, ended = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(ended)
        elif time.monotonic() - self.began < patience:
            return None
        else:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            status = FAILED
        with contextlib.suppress(ProcessLookupError):  # what they left running
            os.killpg(self.pid, signal.SIGKILL)
        return status

    def said(self) -> str:
        """Their last lines."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-12:])


def child(tree: Path, tests: Sequence[str], output: Path) -> NoReturn:
    """Run pytest here, as if it had been started in the copy, and end this process."""
    status = 3
    try:
        os.setsid()
        with open(output, "wb") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        os.chdir(tree)
        os.environ |= {**ENVIRONMENT, "PYTHONPATH": str(tree)}
        sys.dont_write_bytecode = True
        sys.path[:] = [
            str(tree),
            *(path for path in sys.path if Path(path or ".").resolve() not in (ROOT, ROOT / "tools")),
        ]
        sys.modules.pop("mutants", None)
        sys.argv = ["pytest"]
        import pytest

        status = int(pytest.main([*PYTEST, *tests]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def warm_up() -> None:
    """Import what all tests need and no mistake can be in, so that the children need not."""
    import hypothesis  # noqa: F401
    import numpy as np  # noqa: F401
    import pytest  # noqa: F401
    import torch

    torch.set_num_threads(1)


def table(mistakes: Sequence[Mistake], ends: dict[Mistake, str]) -> str:
    """How many of each list were noticed, as a Markdown table; those whose tests are skipped here do not count."""
    mistakes = [mistake for mistake in mistakes if ends[mistake] != "skipped"]
    rows = ["| part of the code | mistakes | killed | survived | harmless |", "|---|---:|---:|---:|---:|"]
    areas = sorted({mistake.area for mistake in mistakes})
    for area in [*areas, "all"]:
        mine = [mistake for mistake in mistakes if area in (mistake.area, "all")]
        real = [mistake for mistake in mine if not mistake.harmless]
        killed = sum(ends[mistake] == "killed" for mistake in real)
        rows.append(f"| {area} | {len(real)} | {killed} | {len(real) - killed} | {len(mine) - len(real)} |")
    real = [mistake for mistake in mistakes if not mistake.harmless]
    noticed = sum(ends[mistake] == "killed" for mistake in real)
    if real:
        rows.append(f"\n{noticed} of {len(real)} plausible mistakes were noticed: {100 * noticed / len(real):.1f} %")
    return "\n".join(rows)


def chosen(mistakes: list[Mistake], only: Sequence[str], number: int, seed: int) -> list[Mistake]:
    """Those whose list or file, or else whose words, are asked for; of these a random number (0: all)."""
    if only:
        named = [one for one in mistakes if any(word == one.area or one.file.startswith(word) for word in only)]
        mistakes = named or [one for one in mistakes if any(word in one.words for word in only)]
    if number and number < len(mistakes):
        mistakes = sorted(random.Random(seed).sample(mistakes, number), key=mistakes.index)
    return mistakes


def main(argv: Sequence[str] | None = None) -> int:
    """Choose mistakes and run them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="WORD",
        help="a list's name, a file or folder, or words of a mistake",
    )
    parser.add_argument("--random", type=int, default=0, metavar="N", help="draw N of them (default: all)")
    parser.add_argument("--seed", type=int, help="of that draw (default: drawn, and printed)")
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="how many at a time (default: one a processor)"
    )
    parser.add_argument("--list", action="store_true", help="print the mistakes, run nothing")
    parser.add_argument("--verbose", action="store_true", help="print which test noticed each mistake")
    args = parser.parse_args(argv)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    try:
        mistakes = chosen(all_mistakes(), args.only, args.random, seed)
        for mistake in mistakes:
            mistake.text(ROOT)
    except ValueError as error:
        print(f"mutants.py: {error}", file=sys.stderr)
        return 1
    if not mistakes:
        print(f"mutants.py: no mistake is of {args.only}; --list shows them", file=sys.stderr)
        return 1
    if args.list:
        for mistake in mistakes:
            print(
                f"{mistake.area}: {mistake.file}: {mistake.words}"
                + (f" (harmless: {mistake.harmless})" if mistake.harmless else "")
            )
        return 0
    if args.random:
        print(f"mutants.py: {len(mistakes)} mistakes, drawn with --seed {seed}", flush=True)
    return campaign(mistakes, args.jobs, args.verbose)


def campaign(mistakes: Sequence[Mistake], jobs: int, verbose: bool) -> int:
    """Run them all; print progress, the table and what does not hold. Returns the exit status."""
    os.environ |= ENVIRONMENT
    warm_up()
    with tempfile.TemporaryDirectory(prefix="kdasr-mutants-") as folder:
        trees = []
        for number in range(jobs):
            (Path(folder) / str(number)).mkdir()
            trees.append(copy_of_tree(Path(folder) / str(number)))
        tests = without_parts({test for mistake in mistakes for test in mistake.tests})
        print(f"mutants.py: the tests without a mistake ({len(tests)} files, folders or tests)", flush=True)
        control = Tests(trees[0], tests)
        while (status := control.status(3600)) is None:
            time.sleep(0.05)
        if status != PASSED:
            print(
                f"mutants.py: they do not pass, so that they cannot notice a mistake:\n{control.said()}",
                file=sys.stderr,
            )
            return 1
        ends, outputs = outcomes(mistakes, trees, PATIENCE, verbose)
    print("\n" + table(mistakes, ends))
    faults = 0
    for mistake in mistakes:
        said = f"{mistake.area}: {mistake.file}: {mistake.words}"
        if ends[mistake] == "survived":
            print(f"survived: {said}" + (f" (harmless: {mistake.harmless})" if mistake.harmless else ""))
            faults += not mistake.harmless
        elif ends[mistake] == "skipped":
            print(f"not tried, as its tests are skipped here: {said}")
        elif ends[mistake] == "broken":
            print(f"mutants.py: {said}: its tests cannot be run:\n{outputs[mistake]}", file=sys.stderr)
            faults += 1
        elif mistake.harmless:
            print(f"mutants.py: {said}: listed as harmless, but {noticed_by(outputs[mistake])}", file=sys.stderr)
            faults += 1
    return int(faults > 0)


def outcomes(
    mistakes: Sequence[Mistake], trees: Sequence[Path], patience: float, verbose: bool
) -> tuple[dict[Mistake, str], dict[Mistake, str]]:
    """What became of each mistake (`killed`, `survived`, `skipped` or `broken`), and the last lines of its tests.

    Args:
        mistakes: those to make, as many at a time as there are trees.
        trees: copies of the working tree; in the end they are as they were.
        patience: seconds that tests may take.
        verbose: whether it is printed which test noticed a mistake.
    """
    ends: dict[Mistake, str] = {}
    outputs: dict[Mistake, str] = {}
    began, waiting, free = time.monotonic(), list(mistakes), list(trees)
    running: list[tuple[Mistake, Path, str, Tests]] = []
    while waiting or running:
        while waiting and free:
            mistake, tree = waiting.pop(0), free.pop()
            path = tree / mistake.file
            right = path.read_text()
            path.write_text(mistake.text(tree))
            running.append((mistake, tree, right, Tests(tree, mistake.tests)))
        time.sleep(0.02)
        for one in list(running):
            mistake, tree, right, tests = one
            status = tests.status(patience)
            if status is None:
                continue
            running.remove(one)
            (tree / mistake.file).write_text(right)
            free.append(tree)
            outputs[mistake] = tests.said()
            missed = "skipped" if all_skipped(outputs[mistake]) else "survived"
            ends[mistake] = {PASSED: missed, FAILED: "killed"}.get(status, "broken")
            left = (time.monotonic() - began) / len(ends) * (len(mistakes) - len(ends)) / 60
            said = f"{len(ends)}/{len(mistakes)} {ends[mistake]:8} {mistake.area}: {mistake.words}"
            print(f"{said} ({left:.0f} min left)", flush=True)
            if verbose and ends[mistake] == "killed":
                print(f"    {noticed_by(outputs[mistake])}", flush=True)
    return ends, outputs


def without_parts(tests: set[str]) -> list[str]:
    """The tests, sorted, without those that are in a file or folder of them."""
    return sorted(
        test for test in tests if not any(test.startswith((other + "/", other + "::")) for other in tests - {test})
    )


def all_skipped(output: str) -> bool:
    """Of pytest's last lines, whether no test was run, as what they need is not here (tests/needs.py)."""
    last = output.splitlines()[-1] if output.strip() else ""
    return "skipped" in last and "passed" not in last


def noticed_by(output: str) -> str:
    """Of pytest's last lines, which test failed."""
    return next((line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))), "it did not end")


if __name__ == "__main__":
    sys.exit(main())
