"""`kdasr nbest` and `kdasr decode` on tiny models: equal to stock ESPnet's programs' search, resumable, and strict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from nbest_models import LENGTHS, models, nbest, write_data, write_model, write_place

from kdasr.cli import main
from kdasr.files import read_json, read_table, write_table
from kdasr.nbest import archive
from kdasr.search.engine import buckets
from kdasr.search.options import SearchOptions

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_place(tmp_path_factory.mktemp("place"))


def shards(out):
    return [path.read_bytes() for path in sorted(out.glob("nbest.*.jsonl"))]


@pytest.fixture(scope="module")
def whole(place):
    out = place[0] / "whole"
    assert nbest(place[0], out) == 0
    return out


def test_archive_holds_stock_espnets_nbest(place, whole):
    _, model, features = place
    records = list(archive.read_nbest(whole))
    assert [record["id"] for record in records] == [f"utt{i}" for i in range(len(LENGTHS))]
    assert [record["frames"] for record in records] == LENGTHS
    for record, x in zip(records, models.encode(model, features), strict=True):
        expected = []
        for hyp in models.stock(model, x, SearchOptions()):
            tokens = [token for token in hyp["yseq"][1:-1] if token not in (0, model.eos)]
            if tokens not in [one[0] for one in expected]:
                expected.append((tokens, hyp["score"]))
        assert [hyp["tokens"] for hyp in record["hyps"]] == [tokens for tokens, _ in expected]
        assert [hyp["score"] for hyp in record["hyps"]] == pytest.approx([score for _, score in expected], abs=1e-3)
        for hyp in record["hyps"]:
            assert hyp["text"] == "".join(models.TOKENS[i] for i in hyp["tokens"]).replace("<space>", " ")
            weighted = 0.7 * hyp["scores"]["decoder"] + 0.3 * hyp["scores"]["ctc"]
            assert hyp["score"] == pytest.approx(weighted, abs=1e-3)
    summary = read_json(whole / "summary.json")
    assert summary["utterances"] == 7
    assert summary["audio_seconds"] == pytest.approx(sum(LENGTHS) / 100)
    assert summary["words"]["words"] == 21


def test_batching_and_processes_change_nothing(place, whole, tmp_path):
    assert nbest(place[0], tmp_path / "singly", "--batch_frames", 1) == 0
    for mine, other in zip(archive.read_nbest(tmp_path / "singly"), archive.read_nbest(whole), strict=True):
        assert [hyp["tokens"] for hyp in mine["hyps"]] == [hyp["tokens"] for hyp in other["hyps"]]
        assert [h["score"] for h in mine["hyps"]] == pytest.approx([h["score"] for h in other["hyps"]], abs=1e-4)


def test_jobs_and_merge_equal_one_process(place, whole, tmp_path, capsys):
    out = tmp_path / "jobs"
    assert nbest(place[0], out, "--job", "2/2") == 0
    assert nbest(place[0], out, "--merge") == 1
    assert "2 of 4 shards are missing, the first is 0" in capsys.readouterr().err
    assert not (out / "summary.json").exists()
    assert nbest(place[0], out, "--job", "1/2") == 0
    assert nbest(place[0], out, "--merge") == 0
    assert shards(out) == shards(whole)
    assert read_json(out / "manifest.json") == read_json(whole / "manifest.json")


def test_rerun_makes_missing_shards_only(place, whole, tmp_path, capsys):
    out = tmp_path / "again"
    assert nbest(place[0], out) == 0
    before = archive.shard_path(out, 0).stat().st_mtime_ns
    archive.shard_path(out, 2).unlink()
    assert nbest(place[0], out) == 0
    assert archive.shard_path(out, 0).stat().st_mtime_ns == before
    assert shards(out) == shards(whole)
    capsys.readouterr()
    assert nbest(place[0], out) == 0
    assert "all 7 utterances are there already" in capsys.readouterr().out


def test_a_run_that_failed_at_once_binds_nobody(place, tmp_path, capsys):
    assert nbest(place[0], tmp_path / "out", "--soft_targets", 19) == 1
    assert "--soft_targets 19: more than the model's 18 tokens" in capsys.readouterr().err
    assert nbest(place[0], tmp_path / "out", "--beam", 2) == 0


def test_other_options_or_model_are_refused(place, whole, tmp_path, capsys):
    assert nbest(place[0], whole, "--beam", 4) == 1
    assert "made with other settings (search was" in capsys.readouterr().err
    write_model(tmp_path / "model", batch_size=99)
    write_data(tmp_path / "data", place[2])
    assert nbest(tmp_path, whole) == 1
    assert "config was" in capsys.readouterr().err


def test_decode_writes_espnets_layout_and_is_done_once(place, tmp_path, capsys):
    root, model, features = place
    out = tmp_path / "decode_b3" / "set"
    words = ["decode", "--model", str(root / "model"), "--data", str(root / "data"), "--out", str(out), "--beam", "3"]
    assert main(words) == 0
    tables = {name: read_table(out / name, empty=True) for name in ("text", "token", "token_int", "score")}
    for i, x in enumerate(models.encode(model, features)):
        best = models.stock(model, x, SearchOptions(beam=3, nbest=1))[0]
        tokens = [token for token in best["yseq"][1:-1] if token not in (0, model.eos)]
        assert tables["token_int"][f"utt{i}"] == " ".join(map(str, tokens))
        assert tables["token"][f"utt{i}"] == " ".join(models.TOKENS[token] for token in tokens)
        assert float(tables["score"][f"utt{i}"]) == pytest.approx(best["score"], abs=1e-3)
    result = read_json(out / "decode.json")
    assert result["audio_seconds"] == pytest.approx(sum(LENGTHS) / 100)
    assert result["cpu_seconds"] > 0
    assert result["options"]["beam"] == 3
    capsys.readouterr()
    code = f"import sys; from kdasr.cli import main; main({words!r}); assert 'torch' not in sys.modules"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert again.returncode == 0, again.stderr
    assert "decoded already" in again.stdout
    assert main([*words, "--ctc_weight", "0"]) == 1


def test_conformer_names_nothing_of_what_is_too_short(tmp_path):
    write_model(tmp_path / "model", "conformer")
    write_data(tmp_path / "data", models.features([1, 40, 5]))
    assert nbest(tmp_path, tmp_path / "out") == 0
    short, fine, edge = archive.read_nbest(tmp_path / "out")
    assert short["hyps"] == [{"tokens": [], "text": "", "score": 0.0, "scores": {}, "ended": "too short"}]
    assert (short["stop"], edge["stop"]) == ("too short", "too short")
    assert fine["hyps"][0]["ended"] in ("eos", "maxlen")
    assert read_json(tmp_path / "out" / "summary.json")["ended"]["too short"] == 2


def test_model_with_a_waveform_front_end(tmp_path):
    changes = {
        "input_size": None,
        "frontend": "default",
        "frontend_conf": {"n_fft": 128, "hop_length": 80, "n_mels": 8, "fs": "8k"},
    }
    given = models.CONFIGS["location_gru"]
    models.CONFIGS["waveform"] = {**given, **changes}
    model = None
    try:
        torch.manual_seed(0)
        directory = tmp_path / "model"
        directory.mkdir()
        config = {**models.config("waveform"), "input_size": None}
        import argparse

        from kdasr.espnet import register

        model = register().build_model(argparse.Namespace(**config)).eval()
    finally:
        del models.CONFIGS["waveform"]
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    samples = (np.random.default_rng(0).standard_normal(4000) * 3000).astype(np.int16)
    soundfile.write(tmp_path / "one.wav", samples, 8000, subtype="PCM_16")
    (tmp_path / "data").mkdir()
    write_table(tmp_path / "data" / "wav.scp", {"one": str(tmp_path / "one.wav")})
    assert nbest(tmp_path, tmp_path / "out") == 0
    (record,) = archive.read_nbest(tmp_path / "out")
    assert record["frames"] == 50
    encoded = models.encode(model, [torch.from_numpy(samples.astype(np.float32) / 32768)])[0]
    expected = models.stock(model, encoded, SearchOptions())
    assert [hyp["score"] for hyp in record["hyps"]] == pytest.approx([hyp["score"] for hyp in expected], abs=1e-3)


def test_buckets_are_longest_first_and_hold_similar_lengths():
    lengths = [50, 90, 10, 300, 75, 93, 30]
    assert list(buckets(lengths)) == [[3], [5, 1, 4], [0], [6], [2]]
    assert list(buckets([])) == []


def test_records_are_json_of_one_line_each(whole):
    for path in whole.glob("nbest.*.jsonl"):
        for line in path.read_text().splitlines():
            assert set(json.loads(line)) == {"id", "frames", "hyps", "duplicates", "stop"}
