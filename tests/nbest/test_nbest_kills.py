"""`kill -9` at any moment of `kdasr nbest`, then again: the archive of an uninterrupted run, byte for byte."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from nbest_models import LENGTHS, models, write_data, write_model

KILLS = 20


@pytest.mark.kill
def test_killed_at_any_moment_and_run_again_equals_uninterrupted(tmp_path):
    write_model(tmp_path / "model")
    write_data(tmp_path / "data", models.features([*LENGTHS, 20]))
    driver = [sys.executable, Path(__file__).with_name("kill_driver.py"), tmp_path, str(KILLS)]
    answer = subprocess.run(driver, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    kills = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(kills) == KILLS
    for kill in kills:
        assert kill["again"] == 0, kill
        assert kill["equal"], kill
        assert kill["report"], kill
        assert kill["rest"] == [], kill
    # or the moments were not those that matter: before, between and after shards, and within one
    assert sum(kill["killed"] for kill in kills) >= KILLS - 2
    assert {kill["shards"] for kill in kills} >= {0, 1, 2, 3, 4}
    assert any(kill["stats"] > kill["shards"] for kill in kills)
