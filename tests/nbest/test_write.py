"""`kdasr nbest` and `kdasr decode` on tiny models: equal to stock ESPnet's programs' search, resumable, and strict."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from nbest_models import LENGTHS, files, models, nbest, write_data, write_model, write_place

from kdasr.bin import nbest as command
from kdasr.cli import main
from kdasr.files import read_json, read_table, write_table
from kdasr.models import find_models
from kdasr.nbest import archive, write
from kdasr.search.engine import buckets
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows

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
    assert nbest(place[0], tmp_path / "out", "--ctc_weight", 1, "--ctc_window", 3) == 1
    assert "--ctc_window 3: needs one model with a recurrent attention decoder" in capsys.readouterr().err
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

        from kdasr.networks.load import register

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
    lines = [line for path in whole.glob("nbest.*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) == len(LENGTHS)
    for line in lines:
        assert set(json.loads(line)) == {"id", "frames", "hyps", "duplicates", "stop"}


# an option of `kdasr nbest`: another value of it, and what its refusal names; None: it changes no record
OPTIONS = {
    "model": ("other", "model"), "model_file": ("other.pth", "model"), "data": ("fewer", "keys"),
    "out": None, "nj": None, "job": None, "merge": None, "ngpu": None, "graphs": None, "batch_frames": None,
    "check_single": None,
    "beam": (4, "search"), "nbest": (4, "search"), "ctc_weight": (0.2, "search"),
    "ctc_window": (7, "search"), "penalty": (0.1, "search"), "maxlenratio": (0.5, "search"),
    "minlenratio": (0.1, "search"), "normalize_length": ((), "search"), "log_linear": ((), "search"),
    "lm_weight": (0.4, "search"), "lm": ("lm2", "lm"), "lm_file": ("other.pth", "lm"), "shard_size": (3, "shard_size"),
    "resample": ((), "resample"), "channel": (1, "channel"), "replace_unk": ((), "replace_unk"), "bf16": ((), "bf16"),
    "lang": None, "task": None,  # of S2T models: tests/search/test_s2t_search.py
}  # fmt: skip


@pytest.mark.parametrize("with_lm", [False, True])
def test_every_option_is_in_the_manifest(place, tmp_path, capsys, with_lm):
    """Or it changes no record: another value of it is refused, before and after all shards are there."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert {action.dest for action in parser._actions} - {"help"} == OPTIONS.keys()
    model, features = write_model(tmp_path / "model"), place[2]
    write_model(tmp_path / "other")
    with torch.no_grad():
        model.decoder.output.bias += 1.0
    for path in (tmp_path / "model" / "other.pth", tmp_path / "other" / "valid.acc.ave.pth"):
        torch.save(model.state_dict(), path)
    write_data(tmp_path / "data", features[:3])
    write_data(tmp_path / "fewer", features[:2])
    base = ()
    if with_lm:
        for name, seed in (("lm", 0), ("lm2", 1)):
            (tmp_path / name).mkdir()
            weights = models.build_lm("lstm", seed).state_dict()
            for file in ("valid.loss.ave.pth",) if seed else ("valid.loss.ave.pth", "other.pth"):
                torch.save(models.build_lm("lstm", 2).state_dict() if file == "other.pth" else weights,
                           tmp_path / name / file)  # fmt: skip
            (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(models.lm_config("lstm")))
        base = ("--lm", tmp_path / "lm")
    out = tmp_path / "out"
    assert nbest(tmp_path, out, *base) == 0
    before = files(out)
    for finished in (True, False):
        if not finished:
            for path in (out / "summary.json", archive.shard_path(out, 1)):
                path.unlink()
                before.pop(path.name, None)
        for name, value in OPTIONS.items():
            if value is None or ("lm" in name.split("_") and not with_lm):
                continue
            given = tmp_path / value[0] if name in ("model", "data", "lm") else value[0]
            more = ("--model", tmp_path / "model", tmp_path / "model") if name == "log_linear" else ()
            assert nbest(tmp_path, out, *base, f"--{name}", *([] if given == () else [given]), *more) == 1, name
            error = capsys.readouterr().err
            assert "made with other settings" in error and f"{value[1]} was " in error, (name, error)
            assert files(out) == before
    if with_lm:
        assert nbest(tmp_path, out) == 1
        assert "lm was " in capsys.readouterr().err


def test_each_job_has_its_gpu():
    for ngpu, devices in (
        (0, ["cpu"] * 5),
        (1, ["cuda:0"] * 5),
        (3, ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]),
    ):
        given = write.Decoding(("m",), "d", "o", SearchOptions(), processes=write.Processes(ngpu=ngpu, batch_frames=9))
        found = [write.loader(given, None, part).args for part in range(1, 6)]
        assert found == [(None, SearchOptions(), Computing(9, device), False) for device in devices]


def test_a_run_that_is_ended_leaves_no_older_summary(place, tmp_path, monkeypatch):
    """It would say that all is done."""
    out = tmp_path / "again"
    assert nbest(place[0], out) == 0
    archive.shard_path(out, 2).unlink()

    def interrupted(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(write, "run_shards", interrupted)
        assert nbest(place[0], out) == 130
    assert not (out / "summary.json").exists() and not (out / "report.json").exists()
    assert nbest(place[0], out) == 0
    assert (out / "summary.json").exists() and (out / "report.json").exists()


@pytest.mark.parametrize(("utterances", "size", "shards"), [(1, 1, 1), (4, 2, 2), (5, 2, 3), (6, 7, 1), (7, 3, 3)])
def test_the_manifest_counts_its_shards(place, utterances, size, shards):
    found = find_models([str(place[0] / "model")], None)
    rows = read_rows(place[0] / "data", found.first)[:utterances]
    made = write.manifest(found, rows, SearchOptions(beam=3), size)
    assert (made["utterances"], made["shards"], made["shard_size"]) == (utterances, shards, size)
    assert made["keys"] == archive.keys_digest([f"utt{n}" for n in range(utterances)])
    assert made["search"]["beam"] == 3 and set(made["search"]) == {one.name for one in fields(SearchOptions)}
