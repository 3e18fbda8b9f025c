#!/usr/bin/env python3
"""How large the report's page is, and how soon a browser shows it.

Examples:
  tools/venv/bin/python tools/bench_report.py                                  # 20 systems x 1,000 utterances
  tools/venv/bin/python tools/bench_report.py --systems 84 --utterances 520 --words 10
  tools/venv/bin/python tools/bench_report.py --dir /tmp/bench --rounds 9      # keep the experiment and the page

An experiment is made up (random texts with the error rates of a teacher and of students, three seeds a label; two
searches of one set, scored by `kdasr score`), reported by `kdasr report`, and the page opened in Debian's chromium
without a window. Opened: from the start of navigation to the end of the load event, by which time the tables stand
and the first utterances are shown; then sorting the table, and comparing two other systems in the browser of
utterances. Medians and the slowest of all rounds; the file is read from the disk cache.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"  # Debian's packages chromium and chromium-driver
TAGS = {"greedy": 1.3, "beam": 1.0}  # search: factor of the error rate
SEEDS = 3


def make_exp(directory: Path, systems: int, utterances: int, words: int, generator: random.Random) -> Path:
    """An experiment of the given size: a teacher, and students of a tenth its size; returns the exp directory."""
    from kdasr.cli import main

    vocabulary = ["".join(generator.choices("ABCDEFGHIKLMNOPRSTUW", k=generator.randint(2, 9))) for _ in range(5000)]
    names = [f"{440 + k % 20}c{k:04d}" for k in range(utterances)]
    spoken = {name: generator.choices(vocabulary, k=max(1, round(generator.gauss(words, words / 4)))) for name in names}
    write_text(directory / "text", spoken)
    write_text(directory / "utt2spk", {name: [name[:3]] for name in names})
    for number in range(systems):
        label = "student on references" if number <= SEEDS else f"objective {1 + (number - 1) // SEEDS}"
        seed = 1 if number == 0 else 1 + (number - 1) % SEEDS
        model = directory / "exp" / f"system{number:03d}"
        info = {
            "parameters": 200_000, "seed": seed, "role": "student", "label": label, "teacher": "system000",
            "train_seconds": 600.0, "cpu_seconds": 500.0, "command": "kdasr train",
        }  # fmt: skip
        if number == 0:
            info |= {"parameters": 2_000_000, "role": "teacher", "label": "teacher", "teacher": None}
        info |= {"recipe": label, "learned_from": "hypotheses", "baseline": 0 < number <= SEEDS}
        if number <= SEEDS:
            info["teacher"] = None
        (model / "log").mkdir(parents=True)
        (model / "kdasr.json").write_text(json.dumps(info))
        (model / "valid.acc.ave.pth").write_bytes(bytes(4 * int(info["parameters"])))
        (model / "log/train.log").write_text("".join(epoch(k, generator) for k in range(1, 31)))
        rate = 0.08 if number == 0 else generator.uniform(0.12, 0.25)
        for tag, factor in TAGS.items():
            out = model / f"decode_{tag}/test"
            write_text(
                out / "text", {key: said(text, rate * factor, vocabulary, generator) for key, text in spoken.items()}
            )
            told = {"audio_seconds": 3.0 * utterances, "cpu_seconds": 0.05 * utterances * rate / factor}
            (out / "decode.json").write_text(json.dumps(told | {"mode_probability": 0.1}))
            paths = {"--ref": directory / "text", "--hyp": out / "text", "--utt2spk": directory / "utt2spk"}
            options = [str(part) for pair in paths.items() for part in pair]
            for kind in ("wer", "cer"):
                with contextlib.redirect_stdout(io.StringIO()):
                    code = main(["score", *options, "--type", kind, "--dir", str(out / f"score_{kind}")])
                if code:
                    sys.exit(code)
    return directory / "exp"


def epoch(number: int, generator: random.Random) -> str:
    """A line of ESPnet's training log."""
    loss = 100 / number + generator.random()
    return (
        f"2026-01-01 00:00:00,000 (trainer:394) INFO: {number}epoch results: [train] loss={loss:.3f}, time=1 seconds, "
        f"total_count={100 * number}, [valid] acc={1 - 0.8 / number:.3f}, loss={loss + 3:.3f}, time=1 seconds\n"
    )


def said(words: list[str], rate: float, vocabulary: list[str], generator: random.Random) -> list[str]:
    """What a recogniser with an error rate makes of some words."""
    result = []
    for word in words:
        chance = generator.random() / rate
        if chance < 0.7:
            result.append(generator.choice(vocabulary))
        elif chance < 0.85:
            result += [word, generator.choice(vocabulary)]
        elif chance >= 1:
            result.append(word)
    return result


def write_text(path: Path, lines: dict[str, list[str]]) -> None:
    """A Kaldi text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key} {' '.join(words)}".rstrip() + "\n" for key, words in sorted(lines.items())))


@contextlib.contextmanager
def chromium(width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Any]:
    """A browser without a window, as selenium drives it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(word)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield driver
    finally:
        driver.quit()


def visit(driver: Any, page: Path) -> None:
    """Open a page and wait until it is there whole: the driver's own waiting may end with the page before."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get("about:blank")
    driver.get(page.as_uri())
    there = "return location.href === arguments[0] && performance.getEntriesByType('navigation')[0].loadEventEnd > 0"
    WebDriverWait(driver, 60, 0.05).until(lambda one: one.execute_script(there, page.as_uri()))


def opened(page: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds to open the page, to sort its table, and to compare two other systems."""
    times: dict[str, list[float]] = {"opened": [], "sorted": [], "compared": []}
    timed = "const t = performance.now(); {} ; document.body.offsetHeight; return performance.now() - t;"
    with chromium() as driver:
        for _ in range(rounds):
            visit(driver, page)
            assert driver.execute_script("return document.querySelectorAll('.utt').length"), "no utterance is shown"
            spent = driver.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
            times["opened"].append(spent / 1000)
            click = "document.querySelectorAll('#table thead button')[2].click()"
            times["sorted"].append(driver.execute_script(timed.format(click)) / 1000)
            change = (
                "const b = document.getElementById('b'); b.value = b.options[b.options.length - 1].value;"
                "b.dispatchEvent(new Event('change'))"
            )
            times["compared"].append(driver.execute_script(timed.format(change)) / 1000)
    return times


def main() -> int:
    """Make, report, open, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", type=int, default=20)
    parser.add_argument("--utterances", type=int, default=1000)
    parser.add_argument("--words", type=int, default=17, help="mean words of an utterance (default 17, as in WSJ)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=Path, help="keep everything here (a new directory)")
    args = parser.parse_args()
    from kdasr.cli import main as kdasr

    with contextlib.ExitStack() as stack:
        directory = args.dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        exp = make_exp(directory, args.systems, args.utterances, args.words, random.Random(1))
        page = (directory / "report.html").absolute()
        begun, cpu = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            code = kdasr(["report", str(exp), "-o", str(page)])
        if code:
            return code
        print(f"{args.systems} systems x {args.utterances:,} utterances x {len(TAGS)} searches")
        print(f"made      {time.perf_counter() - begun:6.2f} s ({time.process_time() - cpu:.2f} CPU s)")
        print(f"size      {page.stat().st_size / 1e6:6.2f} MB")
        if not (Path(CHROMIUM).exists() and Path(DRIVER).exists()):
            print("opened    not measured: install chromium and chromium-driver")
            return 0
        for what, values in opened(page, args.rounds).items():
            print(f"{what:<9} {statistics.median(values):6.2f} s (slowest of {args.rounds}: {max(values):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
