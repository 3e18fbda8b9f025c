"""The commands on the pages: their options exist, recipes would run with theirs, and what can run here does.

A block that cannot run says why in a comment before it, `<!-- not run: ... -->`; its options are looked at all the
same.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import commands
import docs_world
import pages
import pytest

from kdasr.cli import COMMANDS, main, underscored

ROOT = pages.ROOT
RECIPES = re.compile(r"(\S*/)?(run|grid|frames|lm)\.sh$")
ELSEWHERE = re.compile(r"pip install|make |git |python3? -m (pip|venv)|\. |tools/venv|\S+\.sh( |$)")
ABSOLUTE = re.compile(r"/(models|corpora|ldc)/[\w-]+")  # of the reader's machine
SMALLER = {"200k": "20k", "6000": "60", "1000": "4"}  # as models and sets are here
LONG = {"deploy.md", "findings.md", "frames.md", "student-recipes.md", "translation.md"}  # ten seconds or more
BY_PAGE = {page: pages.blocks(page) for page in pages.pages() if "RESULTS" not in page.name}
BY_PAGE = {page: found for page, found in BY_PAGE.items() if any(block.commands for block in found)}
DOCS = [page for page in BY_PAGE if page.parent in (ROOT, ROOT / "docs")]


def name(page):
    return str(page.relative_to(ROOT))


def marked(every, long):
    """Pages, of which those that take long are among the tests that run recipes."""
    return [pytest.param(page, marks=[pytest.mark.recipe] if long(page) else []) for page in every]


def single(block):
    """(directory that `cd` has led to, command) of each command of a block."""
    here = block.page.parent.relative_to(ROOT) if "egs" in block.page.parts else Path()
    for line in block.commands:
        for part in re.split(r" && |; (?!do|done)", line):
            if match := re.fullmatch(r"cd (\S+)", part):
                here = Path(match[1])
            else:
                yield here, part


@pytest.mark.parametrize("page", BY_PAGE, ids=name)
def test_options_exist(page):
    for block in BY_PAGE[page]:
        for _, command in single(block):
            for part in re.split(r" \| ", command):
                words = shlex.split(part.split(" > ")[0].split(" < ")[0])
                if words[0] == "make":
                    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
                    assert set(words[1:]) <= set(targets), f"{block.where}: {part}"
                elif words[0].endswith("kdasr"):
                    known(block, words[1:])
                elif script := next((word for word in words[:2] if word.startswith(("tools/", "utils/"))), None):
                    text = (ROOT / script).read_text() if "venv" not in script else ""
                    for option in re.findall(r"(?<= )--\w[\w-]*", part) if text else ():
                        assert option in text, f"{block.where}: {script} has no {option}"


def known(block, words):
    """Its parser takes the words of a `kdasr` command."""
    command = next(" ".join(words[:k]) for k in (2, 1) if " ".join(words[:k]) in {*COMMANDS, "--help"})
    if command == "--help":
        return
    words = [underscored(word) for word in words[len(command.split()) :]]
    words = words[: words.index("--")] if "--" in words and command == "train" else words
    try:
        commands.parse(command, *words)
    except SystemExit:
        pytest.fail(f"{block.where}: kdasr {command} does not take {shlex.join(words)}")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """What every page starts from."""
    return docs_world.make(tmp_path_factory.mktemp("docs") / "kdasr")


@pytest.fixture
def place(world, tmp_path, monkeypatch):
    """A copy of it, as the current directory."""
    shutil.copytree(world, tmp_path / "kdasr", symlinks=True)
    monkeypatch.chdir(tmp_path / "kdasr")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path / "kdasr"


def shell(command, where):
    words = ["bash", "-euo", "pipefail", "-c", command]
    return subprocess.run(words, cwd=where, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """The recipes, where nothing has run yet."""
    return docs_world.repository(tmp_path_factory.mktemp("recipes") / "kdasr")


@pytest.mark.parametrize("page", marked(BY_PAGE, lambda page: "egs" in page.parts), ids=list(map(name, BY_PAGE)))
def test_recipes_would_run(page, recipes, monkeypatch):
    """`--dry_run true` reads every option, configuration and student recipe, and prints the plan."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    asked = set()
    for block in BY_PAGE[page]:
        for here, command in single(block):
            words = shlex.split(command)
            if not RECIPES.match(words[0]) or {"--help", "--submit"} & set(words) or (here, command) in asked:
                continue
            asked.add((here, command))
            there = ABSOLUTE.sub(lambda found: f"{recipes}/{found[1]}/asr", command)
            done = shell(f"{there} --dry_run true", recipes / here)
            assert done.returncode == 0, f"{block.where}: {command}\n{done.stderr}"


@pytest.mark.parametrize("page", marked(DOCS, lambda page: page.name in LONG), ids=list(map(name, DOCS)))
def test_blocks_run(page, place, capfd):
    """One after the other, in one place."""
    docs_world.for_page(page.name)
    for block in BY_PAGE[page]:
        if block.not_run:
            continue
        if block.language == "python":
            done = subprocess.run([sys.executable, "-c", block.text], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.where}\n{done.stderr}"
        loops = [line for line in block.commands if line.startswith(("ids=", "for "))]
        if loops:
            done = shell("\n".join(block.commands), place)
            assert done.returncode == 0, f"{block.where}\n{done.stderr}"
            continue
        for here, command in single(block):
            words = [SMALLER.get(word, word) for word in shlex.split(command)]
            if RECIPES.match(words[0]) or ELSEWHERE.match(command):
                continue
            if words[0] == "kdasr" and not {"|", ">", "<"} & set(words) and "*" not in command:
                os.chdir(place / here)
                status = main(words[1:])
            else:
                whole = re.sub(r"(^|\| )kdasr ", rf"\1{sys.executable} -m kdasr.cli ", command)
                done = shell(whole, place / here)
                status = done.returncode
                print(done.stdout, done.stderr)
            said = capfd.readouterr()
            assert status == 0, f"{block.where}: {command}\n{(said.out + said.err)[-2000:]}"
            os.chdir(place)
