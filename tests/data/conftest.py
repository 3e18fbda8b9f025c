"""Shared by the tests of `kdasr feats`."""

import pytest
from feats_inputs import corpus

from kdasr.data import feats


@pytest.fixture
def data(tmp_path):
    return corpus(tmp_path / "data" / "set")


@pytest.fixture
def small_shards(monkeypatch):
    """Three utterances a shard (workers are told the size by the work they get)."""
    monkeypatch.setattr(feats, "SHARD_SIZE", 3)
