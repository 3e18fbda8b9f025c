"""Shared by all tests: one thread, fixed seeds, ESPnet importable."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings
from slurm_lab import slurm, time_limit  # noqa: F401  a cluster, where SLURM is installed

from kdasr.espnet import prepare


@pytest.fixture(autouse=True)
def _seed() -> None:
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(1)
        torch.set_flush_denormal(False)  # a verb run by an earlier test has set it, and hypothesis draws denormals


# The same examples everywhere, and no verdict that depends on how busy the machine is.
settings.register_profile("kdasr", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kdasr")

prepare()
# ESPnet's get_default_config() parses the process's command line: pytest's options are not for it.
sys.argv = sys.argv[:1]
