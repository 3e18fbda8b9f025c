"""Shared by all tests: one thread, fixed seeds, ESPnet importable."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from kdasr.espnet import prepare


@pytest.fixture(autouse=True)
def _seed(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("torch") or "torch" in request.module.__dict__:
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(1)


prepare()
