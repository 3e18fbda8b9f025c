"""The environment that stands under figures, and pages of results of other parts."""

import argparse
import importlib.metadata
import os
import platform
import subprocess

import pytest

from kdasr.bin.page_arguments import add_page_arguments, read_page
from kdasr.report import pages, provenance


def test_the_environment_names_versions_revision_and_processor(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package"))
    lines = provenance.environment()
    assert lines[0].startswith("date: `20") and lines[1] == f"python: `{platform.python_version()}`"
    assert lines[2:4] == [f"numpy: `{importlib.metadata.version('numpy')}`", "no-such-package: not installed"]
    assert lines[-1].startswith("CPU: `") and lines[-1].endswith(f"`, {os.cpu_count()} cores, OMP_NUM_THREADS 7")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert provenance.environment()[-1].endswith(", OMP_NUM_THREADS not set")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert not [line for line in provenance.environment() if line.startswith("git:")]
    words = ["git", "-c", "user.name=a", "-c", "user.email=a@localhost"]
    for more in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run([*words, *more], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert [line for line in provenance.environment() if line.startswith("git:")] == [f"git: `{head}`"]
    monkeypatch.setenv("PATH", str(tmp_path))  # no git at all
    assert len(provenance.environment()) == 5


@pytest.mark.parametrize("commands", [[], ["./run.sh", "kdasr x"]])
def test_a_page_has_notes_parts_commands_and_environment_in_this_order(commands, monkeypatch, tmp_path):
    monkeypatch.setattr(pages, "environment", lambda: ["date: `x`", "CPU: `y`"])
    parser = argparse.ArgumentParser()
    add_page_arguments(parser, "models")
    out = tmp_path / "R.md"
    more = [word for one in commands for word in ("--command", one)]
    args = parser.parse_args(["--exp", "e", "--out", str(out), "--note", "one", "--note", "# two", *more])
    page = read_page(args, "kdasr lm report")
    assert page == pages.Page("kdasr lm report", str(out), None, ("one", "# two"), tuple(commands))
    pages.write_page(page, "A <b>title", ["## Part", "text"])
    block = ["```\n./run.sh\nkdasr x\n```"] if commands else []
    parts = [
        "# A &lt;b>title",
        "one",
        "\\# two",
        "## Part",
        "text",
        *block,
        "## Environment",
        "- date: `x`\n- CPU: `y`",
    ]
    assert out.read_text() == "\n\n".join(parts) + "\n"
