#!/usr/bin/env python3
"""Time of `kdasr score` compared with the real sclite's, in one run: two processes, words and characters.

Examples:
  tools/venv/bin/python tools/bench_score.py                 # 5,000 utterances of 20 words, 10 % errors
  tools/venv/bin/python tools/bench_score.py --parts         # what reading, aligning, writing take, without the start
  tools/venv/bin/python tools/bench_score.py --times 5 --profile

Both sides read two trn files, align, and write .sys .raw .pra .dtl .sgml; they take turns, and the table has the
median of each figure. Each is started anew every time, as by a user, so that the start of Python counts. Wall is what
the targets are about; CPU seconds (of the process and its children) say how much of it is due to other work on the
machine. A ratio above 1 says that kdasr is faster.
"""

# ruff: noqa: E402 (the number of threads has to be set before numpy is imported)
from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from kdasr.files import atomic_write
from kdasr.score import sclite
from kdasr.score.align import align_words
from kdasr.score.characters import characters
from kdasr.score.detail import reports
from kdasr.score.trn import Line, read_trn, write_trn

SYLLABLES = "ta re mo li sen con ver ing ed per tion al un ker dis pre ma for ly ter ment a is b o"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=5000)
    parser.add_argument("--words", type=int, default=20, help="of an utterance, on average")
    parser.add_argument("--errors", type=float, default=0.1, help="share of the words (default 0.1)")
    parser.add_argument("--times", type=int, default=3, help="runs of each side (default 3)")
    parser.add_argument("--parts", action="store_true", help="run kdasr in this process, too: seconds of its parts")
    parser.add_argument("--profile", action="store_true", help="where kdasr's time goes, function by function")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        size = write_texts(directory, args.utterances, args.words, args.errors)
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        print(f"{args.utterances} utterances, {size[0]} words, {size[1]} characters; load {load:.1f} a core")
        for chars in (False, True):
            measure(directory, chars, args)


def write_texts(directory: Path, utterances: int, words: int, errors: float) -> tuple[int, int]:
    """ref.trn and hyp.trn of pseudo-words, frequent ones short as in English; words and characters of the former."""
    generator = random.Random(1)
    vocabulary = list(dict.fromkeys("".join(generator.choices(SYLLABLES.split(), k=1 + k // 300)) for k in range(1200)))
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]
    sides: tuple[list[Line], list[Line]] = [], []
    for number in range(utterances):
        ref = generator.choices(vocabulary, weights, k=max(1, round(generator.gauss(words, words / 4))))
        hyp = []
        for word in ref:
            draw = generator.random()
            if draw > 0.8 * errors:
                hyp.append(word)
            elif draw > 0.2 * errors:
                hyp.append(generator.choice(vocabulary))
            if generator.random() < 0.2 * errors:
                hyp.append(generator.choice(vocabulary))
        for side, text in zip(sides, (ref, hyp), strict=True):
            side.append(Line(f"s{number % 40:02}-u{number:05}", tuple(text)))
    for name, side in zip(("ref.trn", "hyp.trn"), sides, strict=True):
        write_trn(directory / name, side)
    return sum(len(line.words) for line in sides[0]), sum(len("".join(line.words)) for line in sides[0])


def measure(directory: Path, chars: bool, args: argparse.Namespace) -> None:
    """Print the table of words or characters."""
    program = sclite.find()
    sides: dict[str, Callable[[], dict[str, float]]] = {"kdasr score": lambda: timed(lambda: process(directory, chars))}
    if program:
        sides["sclite"] = lambda: timed(lambda: theirs(program, directory, chars))
    if args.parts:
        sides["kdasr, no start"] = lambda: ours(directory, chars)
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for run in sides.values():  # the first time fills caches
        run()
    for _ in range(args.times):
        for side, run in sides.items():
            found[side].append(run())
    middle = {side: {key: median(run[key] for run in runs) for key in runs[0]} for side, runs in found.items()}
    print(f"\n{'characters (-c)' if chars else 'words':24} {'wall s':>8} {'CPU s':>8} {'ratio wall':>11} {'CPU':>6}")
    for side, figures in middle.items():
        ratios = ""
        if "sclite" in middle and side != "sclite":
            ratios = "".join(
                f"{middle['sclite'][key] / figures[key]:{width}.1f}" for key, width in (("wall", 11), ("cpu", 7))
            )
        print(f"{side:24} {figures['wall']:8.3f} {figures['cpu']:8.3f} {ratios}")
    if args.parts:
        parts = {key: value for key, value in middle["kdasr, no start"].items() if key not in ("wall", "cpu")}
        print("  of it: " + ", ".join(f"{key} {value:.3f}" for key, value in parts.items()))
    if args.profile:
        with cProfile.Profile() as profile:
            ours(directory, chars)
        pstats.Stats(profile).sort_stats("tottime").print_stats(14)


def timed(run: Callable[[], object]) -> dict[str, float]:
    """Wall and CPU seconds, children's included."""
    wall, cpu = time.perf_counter(), os.times()
    run()
    after = os.times()
    return {"wall": time.perf_counter() - wall, "cpu": sum(after[:4]) - sum(cpu[:4])}


def ours(directory: Path, chars: bool) -> dict[str, float]:
    """Seconds of kdasr's pipeline and of its parts."""
    parts: dict[str, float] = {}

    def pipeline() -> None:
        clock = time.perf_counter()

        def lap(name: str) -> None:
            nonlocal clock
            parts[name], clock = time.perf_counter() - clock, time.perf_counter()

        ref, hyp = ([*read_trn(directory / name)] for name in ("ref.trn", "hyp.trn"))
        lap("read")
        left, right = ([characters(line.words) if chars else line.words for line in side] for side in (ref, hyp))
        lap("cut")
        steps = align_words(left, right)
        lap("align")
        aligned = [sclite.Aligned(line.id, *one) for line, *one in zip(hyp, left, right, steps, strict=True)]
        made = reports(aligned, chars=chars)
        lap("report")
        for kind, report in made.items():
            with atomic_write(directory / "ours" / f"hyp.trn.{kind}", "wb") as stream:
                stream.write(report)
        lap("write")

    return timed(pipeline) | parts


def theirs(program: str, directory: Path, chars: bool) -> None:
    """What the real sclite does."""
    (directory / "theirs").mkdir(exist_ok=True)
    sclite.run_real(program, directory, reports="sum rsum pra dtl sgml", chars=chars, out=directory / "theirs")


def process(directory: Path, chars: bool) -> None:
    """`kdasr score` from the shell, by a user whose Python keeps what it has compiled."""
    command = [str(Path(sys.executable).with_name("kdasr")), "score", "--ref", "ref.trn", "--hyp", "hyp.trn"]
    command += ["--dir", "process", *(["--chars"] if chars else [])]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(directory / "pycache")
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL, env=environment)


if __name__ == "__main__":
    main()
