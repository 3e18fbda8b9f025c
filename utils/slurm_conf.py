"""Kaldi's conf/slurm.conf: what the options --mem, --gpu, ... of slurm.py mean to a cluster's sbatch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jobs import WrongUsage

USUAL = "conf/slurm.conf"  # read where it exists and no other is named
BUILT_IN = """\
command sbatch
option time=* --time $0
option mem=* --mem $0
option mem=0
option num_threads=* --cpus-per-task $0
option gpu=* --gres=gpu:$0
option gpu=0
option num_nodes=* --nodes $0 --ntasks-per-node 1
"""
NOTHING = {("mem", "0"), ("gpu", "0"), ("num_threads", "1")}  # need no line: what a job has anyway
OURS = {"max_jobs_run", "conf", "config", "after", "detach"}  # options of slurm.py itself


class Conf(NamedTuple):
    """The file's lines."""

    name: str
    command: list[str]  # sbatch with what all jobs have
    options: dict[tuple[str, str], list[str]]  # (option, value or "*") -> words for sbatch, with $0 for the value
    defaults: dict[str, str]  # option -> its value when it is not given


def read(path: str | None) -> Conf:
    """Read this file, or the usual one, or what holds without a file."""
    if path is None and not Path(USUAL).exists():
        return parse(BUILT_IN.splitlines(), "the built-in configuration")
    name = path or USUAL
    try:
        with open(name, encoding="utf-8", errors="surrogateescape") as stream:
            return parse(list(stream), name)
    except OSError as error:
        raise WrongUsage(f"{name}: {error.strerror}") from None


def parse(lines: Sequence[str], name: str) -> Conf:
    """Read the lines of a configuration; a line that cannot be carried out is named in the error."""
    command: list[str] = []
    options: dict[tuple[str, str], list[str]] = {}
    defaults: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        where = f"{name}:{number}: {text}"
        kind, _, rest = text.partition(" ")
        rest = rest.strip()
        described = re.match(r"([\w-]+)=(\S+)(?:\s+(.*))?$", rest)
        if kind == "command" and rest:
            command = words(rest, where)
        elif kind == "option" and described:
            options[plain(described[1]), described[2]] = words(described[3] or "", where)
        elif kind == "default" and described and not described[3]:
            defaults[plain(described[1])] = described[2]
        else:
            raise WrongUsage(f"{where}: expected 'command sbatch ...', 'option NAME=VALUE ...' or 'default NAME=VALUE'")
    if not command:
        raise WrongUsage(f"{name}: no line 'command sbatch ...'")
    return Conf(name, command, options, defaults)


def plain(name: str) -> str:
    """An option's name in one spelling: num-threads is num_threads."""
    return name.replace("-", "_")


def words(text: str, where: str) -> list[str]:
    """Cut a text into words as a shell does; nothing but $0 is expanded, so that nothing else may ask for it."""
    if re.search(r"`|\$(?!0)", text):
        raise WrongUsage(f"{where}: no shell reads this line; $0, the option's value, is all that is replaced")
    try:
        return shlex.split(text)
    except ValueError:
        raise WrongUsage(f"{where}: a quote is not closed") from None


def sbatch(conf: Conf, given: dict[str, str]) -> list[str]:
    """The words of sbatch for these options, in the order in which the file describes them."""
    values = {name: value for name, value in {**conf.defaults, **given}.items() if name not in OURS}
    order = {name: place for place, (name, _) in reversed(list(enumerate(conf.options)))}
    made = list(conf.command)
    for name in sorted(values, key=lambda name: order.get(name, len(order))):
        value = values[name]
        described = conf.options.get((name, value), conf.options.get((name, "*")))
        if described is not None:
            made += [word.replace("$0", value) for word in described]
        elif (name, value) not in NOTHING:
            raise WrongUsage(
                f"--{name.replace('_', '-')} {value}: not described in {conf.name}; say there what it means to sbatch, "
                f"as in option {name}=* --some-option $0"
            )
    return made
