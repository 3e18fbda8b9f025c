"""Where figures come from: the machine, the versions, and the commands that make them again."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import time

from kdasr.files import atomic_write
from kdasr.report.collect import System
from kdasr.report.markdown import block, inert, paragraph

PACKAGES = "torch", "espnet", "numpy"


def environment() -> list[str]:
    """Date, versions, revision, processor: what a figure depends on besides the configuration."""
    lines = [f"date: `{time.strftime('%Y-%m-%d %H:%M:%S %Z')}`", f"python: `{platform.python_version()}`"]
    for package in PACKAGES:
        try:
            lines.append(f"{package}: `{importlib.metadata.version(package)}`")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package}: not installed")
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            lines.append(f"git: `{done.stdout.strip()}`")
    except OSError:
        pass  # no git: the models' own revisions still stand in kdasr.json
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    lines.append(f"CPU: `{_processor()}`, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}")
    return lines


def page_arguments(parser: argparse.ArgumentParser, models: str) -> None:
    """The options that every page of results has; `models` says what lies in --exp."""
    add = parser.add_argument
    add("--exp", required=True, metavar="DIR", help=f"directory of {models}")
    add("--out", required=True, metavar="FILE", help="Markdown file to write")
    add("--note", action="append", default=[], help="text under the title; may be given several times")
    add("--command", action="append", default=[], help="command line that regenerates the results")


def write_page(args: argparse.Namespace, title: str, parts: list[str]) -> None:
    """Write --out in Markdown: title, notes, parts, the commands that make it again, and the environment."""
    made = [block(args.command)] if args.command else []
    ending = [*made, "## Environment", "\n".join(f"- {line}" for line in environment())]
    text = "\n\n".join([f"# {inert(title)}", *map(paragraph, args.note), *parts, *ending]) + "\n"
    with atomic_write(args.out, "wb") as stream:
        stream.write(text.encode("utf-8", "replace"))  # a name of a file may hold what is no UTF-8


def recorded_commands(every: list[System]) -> list[str]:
    """What models, decodes and scores recorded as their commands; each once, in order."""
    found = [one.info.get("command") for one in every]
    for one in every:
        for scored in one.scored.values():
            found += [scored.decode.get("command"), scored.wer.get("command"), scored.cer.get("command")]
    return list(dict.fromkeys(command for command in found if command))


def _processor() -> str:
    """Its name, and family and model where the kernel tells: virtual machines call many kinds by one name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            pairs = (line.partition(":") for line in stream)
            told = {key.strip(): value.strip() for key, _, value in pairs}
        kind = [f"{word} {told[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in told]
        return ", ".join([told["model name"], *kind])
    except (OSError, KeyError):
        return platform.processor() or platform.machine()
