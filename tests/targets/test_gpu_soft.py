"""`kdasr soft` on a pretended GPU (tests/pretend_gpu.py): the CPU's tables, and what it waits for."""

import json
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))
sys.path.insert(0, str(Path(__file__).parents[1] / "nbest"))
import search_models as models
from nbest_models import write_data, write_model
from pretend_gpu import pretend_gpu

from kdasr.cli import main
from kdasr.files import write_table
from kdasr.search import engine


@pytest.mark.parametrize("kind", ["kdasr", "transformer"])
def test_soft_targets_of_a_gpu_are_the_cpus(tmp_path, kind):
    model = write_model(tmp_path / "model", kind)
    keys = write_data(tmp_path / "data", models.features((26, 24, 22)))
    generator = np.random.default_rng(1)
    hyps = {key: [generator.integers(2, len(model.token_list) - 1, n).tolist() for n in (2, 3)] for key in keys}
    made = {}
    for device in ("0", "1"):
        targets = tmp_path / f"targets{device}"
        targets.mkdir()
        write_table(targets / "hyps", {key: " ".join(str(i) for hyp in one for i in hyp) for key, one in hyps.items()})
        write_table(targets / "hyp_lens", {key: "2 3" for key in keys})
        (targets / "targets.json").write_text(json.dumps({"settings": {"tokens": None}}))
        words = ["soft", "--model", tmp_path / "model", "--targets", targets, "--data", tmp_path / "data", "--ctc"]
        engine.loaded.cache_clear()
        if device == "0":
            assert main([*map(str, words)]) == 0
        else:
            with pretend_gpu() as gpu, gpu.seen() as seen:
                assert main([*map(str, words), "--ngpu", "1"]) == 0
        engine.loaded.cache_clear()
        made[device] = [dict(kaldiio.load_scp(str(targets / f"{name}.scp"))) for name in ("soft", "ctc")]
    for here, there in zip(*made.values(), strict=True):
        assert here.keys() == there.keys() == set(keys)
        for key, rows in here.items():
            np.testing.assert_allclose(there[key], rows, rtol=1e-3, atol=1e-3)
    weights = sum("kdasr/networks/load.py" in line for line in seen.uploads)
    assert len(seen.reads) <= 20 and len(seen.uploads) - weights <= 15, seen.table()
