"""What some tests need that pip does not install, and what happens where it is missing.

A test says `@pytest.mark.needs("sclite")`, a fixture calls `need("slurm")`. Where it is missing they skip, with the
reason; or fail, if KDASR_REQUIRE names it, as .ci/run has it name all but sox: its green run has then tested all of it.
"""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from kdasr.score import sclite

SLURM = ("munged", "slurmctld", "slurmd", "sbatch")
BROWSER = ("/usr/bin/chromium", "/usr/bin/chromedriver")
SITE_MAKER = Path(__file__).parents[1] / "tools/docs-venv/bin"
ORT_WEB = Path(os.environ.get("ORT_WEB", Path(__file__).parents[1] / "tools/venv/onnxruntime-web"))


def program(name):
    """Where a program is; those of the system's administrator are looked for, too."""
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def sclites_program(name):
    """A program that is installed beside sclite, or None."""
    found = sclite.find()
    return found and shutil.which(Path(found).with_name(name))


# A name for KDASR_REQUIRE: whether it is here, and what to say where it is not.
NEEDS = {
    "sclite": (lambda: sclite.find() and sclites_program("sc_stats"), "no sclite (Debian: apt-get install sctk)"),
    "slurm": (lambda: all(map(program, SLURM)), "no SLURM (Debian: apt-get install slurm-wlm munge)"),
    "chromium": (
        lambda: all(Path(one).exists() for one in BROWSER) and importlib.util.find_spec("selenium"),
        "no browser (Debian: apt-get install chromium chromium-driver; selenium: tools/install.sh)",
    ),
    "espeak": (
        lambda: importlib.util.find_spec("espeakng_loader"),
        "no espeakng-loader, which speaks the corpus (tools/install.sh)",
    ),
    "sherpa": (
        lambda: importlib.util.find_spec("sherpa_onnx"),
        "no sherpa-onnx, which runs exported models (tools/install.sh)",
    ),
    "web": (
        lambda: (ORT_WEB / "ort.wasm.min.mjs").exists(),
        "no onnxruntime-web, which runs models in a browser (tools/web_page.sh --fetch)",
    ),
    "site": (
        lambda: (SITE_MAKER / "mkdocs").exists(),
        "no mkdocs, which makes the documentation's site (make docs)",
    ),
    "sox": (lambda: program("sox"), "no sox (Debian: apt-get install sox)"),
}


def required():
    """The names in KDASR_REQUIRE. Raises pytest.UsageError for a name that no test asks for."""
    names = {name.strip() for name in os.environ.get("KDASR_REQUIRE", "").split(",")} - {""}
    if unknown := names - NEEDS.keys():
        raise pytest.UsageError(f"KDASR_REQUIRE names {', '.join(sorted(unknown))}; there are {', '.join(NEEDS)}")
    return names


def need(name):
    """Skip the test where this is missing; fail it where KDASR_REQUIRE names it."""
    here, reason = NEEDS[name]
    if here():
        return
    if name in required():
        pytest.fail(f"{reason}, and KDASR_REQUIRE says that it has to be there", pytrace=False)
    pytest.skip(reason)
