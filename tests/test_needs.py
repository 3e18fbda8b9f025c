"""tests/needs.py and tests/properties.py: a green run has tested what KDASR_REQUIRE names; make nightly draws anew."""

import os
import subprocess
import sys
from pathlib import Path

import needs
import pytest

ROOT = Path(__file__).parents[1]
OF_SOX = "tests/data/test_places.py::test_sox_decodes_what_we_read"


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setitem(needs.NEEDS, "sox", (lambda: None, "no sox (Debian: apt-get install sox)"))


def test_what_is_missing_skips_and_says_why(missing, monkeypatch):
    monkeypatch.delenv("KDASR_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no sox \(Debian: apt-get install sox\)"):
        needs.need("sox")


def test_what_is_missing_and_required_fails(missing, monkeypatch):
    monkeypatch.setenv("KDASR_REQUIRE", "sclite, sox")
    with pytest.raises(pytest.fail.Exception, match=r"no sox .*, and KDASR_REQUIRE says that it has to be there"):
        needs.need("sox")


def test_what_is_there_is_used(monkeypatch):
    monkeypatch.setitem(needs.NEEDS, "sox", (lambda: "/usr/bin/sox", ""))
    needs.need("sox")


def test_a_misspelt_requirement_is_told_before_anything_runs(monkeypatch):
    monkeypatch.setenv("KDASR_REQUIRE", "sclite,slrum")
    with pytest.raises(pytest.UsageError, match="KDASR_REQUIRE names slrum; there are sclite, slurm"):
        needs.required()


def test_ci_requires_every_program_that_it_installs():
    text = (ROOT / ".ci/run").read_text()
    assert "export KDASR_REQUIRE=sclite,slurm,chromium,espeak,sherpa,site\n" in text and "\nmake docs\n" in text
    assert "if tools/web_page.sh --fetch; then KDASR_REQUIRE+=,web;" in text
    assert set(needs.NEEDS) - {"sox"} == {"sclite", "slurm", "chromium", "espeak", "sherpa", "site", "web"}


def test_marked_tests_fail_where_what_they_need_is_required_and_missing():
    """One of sox, in a run whose PATH has none."""
    environment = {**os.environ, "PATH": "/nowhere", "KDASR_REQUIRE": "sox"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rfE", "-p", "no:cacheprovider", OF_SOX],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "no sox (Debian: apt-get install sox), and KDASR_REQUIRE says that it has to be there" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 error")


@pytest.mark.parametrize(("times", "number", "derandomized"), [("1", 40, True), ("30", 1200, False)])
def test_a_nightly_run_has_more_examples_and_others(times, number, derandomized):
    code = (
        "import properties; from hypothesis import settings; properties.load(); "
        "print(properties.examples(40).max_examples, settings().derandomize, properties.examples(40).derandomize)"
    )
    environment = {"PYTHONPATH": str(Path(needs.__file__).parent), "KDASR_EXAMPLES": times, "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(number), str(derandomized), str(derandomized)]
