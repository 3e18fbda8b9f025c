"""Where figures come from: the machine, the versions, and the commands that make them again."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time

from kdasr.report.collect import System

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


def recorded_commands(every: list[System]) -> list[str]:
    """What models, decodes and scores recorded as their commands; each once, in order."""
    found = [one.info.get("command") for one in every]
    for one in every:
        for scored in one.scored.values():
            found += [scored.decode.get("command"), *(score.get("command") for score in scored.scores)]
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
