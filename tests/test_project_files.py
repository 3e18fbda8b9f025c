"""Files about the project: one version everywhere, what can be parsed is, and each names what there is."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from kdasr import __version__

ROOT = Path(__file__).parents[1]


def text(name):
    return (ROOT / name).read_text()


def test_there_is_one_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert yaml.safe_load(text("CITATION.cff"))["version"] == __version__
    assert re.search(r"^## (.+)$", text("CHANGELOG.md"), re.M)[1] == __version__
    assert 'version = (here / "kdasr" / "__init__.py")' in text("setup.py")


def test_the_citation_has_what_the_format_requires():
    """Of CFF 1.2.0: cff-version, message, title, authors; an author who is no person has a name."""
    cited = yaml.safe_load(text("CITATION.cff"))
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software" and cited["message"] and cited["title"]
    assert cited["authors"] == [{"name": "The kdasr developers"}]
    assert f'license="{cited["license"]}"' in text("setup.py")


def rules(makefile):
    """Targets of a Makefile that are not files."""
    return re.findall(r"^([a-z][a-z-]*):", makefile, re.M)


def test_make_help_names_every_target():
    makefile = text("Makefile")
    listed, alone = (
        subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for words in (["make", "--no-print-directory", "help"], ["make", "--no-print-directory"])
    )
    assert alone == listed
    said = dict(re.findall(r"^make (\S+) +(.+)$", listed, re.M))
    targets = rules(makefile)
    assert list(said) == targets == makefile.split(".PHONY:")[1].splitlines()[0].split()
    assert {"help", "install", "demo", "test", "docs", "lint"} <= set(said)


def test_ci_and_the_pages_call_targets_that_there_are():
    known = set(rules(text("Makefile")))
    for place in (".ci/run", "CONTRIBUTING.md", ".github/pull_request_template.md", "CHANGELOG.md"):
        asked = set(re.findall(r"(?:^|`)\s*make ([a-z-]+)", text(place), re.M))
        assert asked <= known, place


def test_hooks_check_the_files_that_lint_checks():
    """The same programs on the same files, and none that would be fetched."""
    hooks = [hook for repo in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]]
    assert all(repo["repo"] == "local" for repo in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"])
    ruff, shellcheck = ({"files": re.compile(hook["files"]), **{"entry": hook["entry"]}} for hook in hooks)
    lint = text("Makefile").split("lint: install")[1].split("\n\n")[0].splitlines()[1:]
    assert [line.split()[:2] for line in lint] == [ruff["entry"].split(), shellcheck["entry"].split()]
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("no git repository to list the files of")
    names = tracked.stdout.splitlines()
    shell = {str(path.relative_to(ROOT)) for word in lint[1].split()[2:] for path in ROOT.glob(word)} & set(names)
    assert {name for name in names if shellcheck["files"].search(name)} == shell and len(shell) > 10
    folders = tuple(f"{word}/" for word in lint[0].split()[2:])
    assert [name for name in names if ruff["files"].search(name)] == [n for n in names if n.startswith(folders)]


@pytest.mark.parametrize("name", ["bug.md", "question.md", "config.yml"])
def test_templates_of_issues_have_a_head_that_parses(name):
    head = text(f".github/ISSUE_TEMPLATE/{name}")
    head = yaml.safe_load(head.split("---")[1] if name.endswith(".md") else head)
    assert {"name", "about"} <= set(head) if name.endswith(".md") else "blank_issues_enabled" in head


def test_the_files_that_contributors_are_shown_are_there():
    for link in re.findall(r"\]\(([^)#:]+)\)", text("CONTRIBUTING.md")):
        if not link.startswith("docs/"):  # the pages: tests of the site
            assert (ROOT / link).is_file(), link
