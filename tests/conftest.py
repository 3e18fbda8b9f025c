"""Shared by all tests: one thread, fixed seeds, ESPnet importable, and what a test may need or belong to."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import needs
import properties
import pytest
from slurm_lab import slurm, time_limit  # noqa: F401  a cluster, where SLURM is installed

from kdasr.espnet import prepare


@pytest.fixture(autouse=True)
def _seed() -> None:
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(1)
        torch.set_flush_denormal(False)  # a command run by an earlier test has set it, and hypothesis draws denormals


def pytest_configure() -> None:
    """A misspelt KDASR_REQUIRE is said before anything runs."""
    needs.required()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` leaves out what is marked as `cluster`, so what starts a cluster has to be."""
    unmarked = [
        item.nodeid
        for item in items
        if "slurm" in getattr(item, "fixturenames", ()) and not (item.get_closest_marker("cluster"))
    ]
    if unmarked:
        raise pytest.UsageError(f"these use a cluster; mark them as `cluster`: {' '.join(unmarked)}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a test needs is looked for before its fixtures are made."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            needs.need(name)


properties.load()
prepare()
# ESPnet's get_default_config() parses the process's command line: pytest's options are not for it.
sys.argv = sys.argv[:1]
