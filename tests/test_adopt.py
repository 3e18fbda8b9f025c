"""`kdasr adopt`: a finished model or a pack of one becomes a teacher; the model itself stays as it is."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parent / "search"))
import search_models as models

from kdasr.cli import main
from kdasr.files import read_json
from kdasr.models import read_config
from kdasr.networks.load import load_model


def write_model(training, kind="conformer"):
    """A model in training/exp/asr, with statistics below `training`, results, and a link to its checkpoint."""
    stats = training / "exp/stats/feats_stats.npz"
    stats.parent.mkdir(parents=True)
    np.savez(stats, count=4, sum=np.arange(8.0), sum_square=np.full(8, 60.0))
    given = {"normalize": "global_mvn", "normalize_conf": {"stats_file": str(stats)}}
    model = models.build(kind, changes=given)
    directory = training / "exp/asr"
    (directory / "decode_greedy/test").mkdir(parents=True)
    (directory / ".hidden").write_text("")
    torch.save(model.state_dict(), directory / "valid.acc.ave_10best.pth")
    (directory / "valid.acc.ave.pth").symlink_to("valid.acc.ave_10best.pth")
    given["normalize_conf"] = {"stats_file": "exp/stats/feats_stats.npz"}
    (directory / "config.yaml").write_text(yaml.safe_dump(models.config(kind) | given))
    return directory, model


def tree(directory):
    """All files below a directory, with their times and contents."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(directory.rglob("*"))
    }


def same(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def adopt(model, out, *more):
    return main(["adopt", *map(str, (model, "--out", out, *more))])


def test_a_teacher_of_links(tmp_path, capsys):
    directory, model = write_model(tmp_path / "training")
    before, out = tree(tmp_path / "training"), tmp_path / "exp/teacher_asr"
    for _ in range(2):  # the second time brings it up to date
        assert adopt(directory, out) == 0
        assert "parameters, of " in capsys.readouterr().out
        assert tree(tmp_path / "training") == before
        assert same(load_model(out)[0], model)
    assert "no checksum" not in capsys.readouterr().out
    linked = {path.name for path in out.iterdir() if path.is_symlink()}
    assert linked == {"config.yaml", "valid.acc.ave.pth", "valid.acc.ave_10best.pth"}
    assert not (out / "decode_greedy").exists() and not (out / ".hidden").exists()
    record = read_json(out / "kdasr.json")
    assert (record["role"], record["label"], record["recipe"]) == ("teacher", "teacher", "")
    assert record["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert record["adopted"] == str(directory)
    sums = {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ("valid.acc.ave.pth", "config.yaml")
    }
    assert record["sha256"] == sums
    # a model that was trained anew at its place is noticed
    torch.save(models.build("conformer", seed=1).state_dict(), directory / "valid.acc.ave_10best.pth")
    assert main(["nbest", "--model", str(out), "--data", str(tmp_path), "--out", str(tmp_path / "n")]) == 1
    assert "valid.acc.ave.pth: was changed after the training ended" in capsys.readouterr().err


def test_what_a_models_own_record_says_is_kept(tmp_path):
    directory, _ = write_model(tmp_path / "training")
    own = {"role": "student", "recipe": "nbest", "baseline": False, "train_seconds": 12.5, "sha256": {"mask.pth": "ab"}}
    (directory / "kdasr.json").write_text(json.dumps(own))
    assert adopt(directory, tmp_path / "teacher", "--label", "the big one") == 0
    record = read_json(tmp_path / "teacher/kdasr.json")
    said = {key: record[key] for key in ("role", "recipe", "label", "train_seconds")}
    assert said == {"role": "teacher", "recipe": "", "label": "the big one", "train_seconds": 12.5}
    assert record["sha256"]["mask.pth"] == "ab" and len(record["sha256"]) == 3
    assert json.loads((directory / "kdasr.json").read_text()) == own


def test_what_cannot_be_adopted(tmp_path, capsys):
    directory, _ = write_model(tmp_path / "training")
    for model, out, said in [
        (tmp_path / "none", tmp_path / "a", "none/config.yaml: no such file"),
        (directory, directory, "asr: holds a model of its own; name another directory"),
        (tmp_path / "text", tmp_path / "a", "text: cannot be unpacked (File is not a zip file); copy it again"),
    ]:
        (tmp_path / "text").write_text("x")
        assert adopt(model, out) == 1
        assert said in capsys.readouterr().err
        assert not (tmp_path / "a").exists()
    for name in ("valid.acc.ave.pth", "valid.acc.ave_10best.pth"):
        (directory / name).unlink()
    assert adopt(directory, tmp_path / "a") == 1
    assert "train the model first" in capsys.readouterr().err and not (tmp_path / "a").exists()


def write_pack(training, pack, *options, name="valid.acc.ave_10best.pth"):
    """Pack the model of `training` as stock ESPnet does, with further files."""
    words = ["asr", "--asr_train_config", "exp/asr/config.yaml", "--asr_model_file", f"exp/asr/{name}"]
    words += [word for option in options for word in ("--option", option)] + ["--outpath", str(pack)]
    code = (
        "import sys; from kdasr.espnet import prepare; prepare(); from espnet2.bin.pack import main; main(sys.argv[1:])"
    )
    root = str(Path(__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", code, *words], cwd=training, check=True, env={**os.environ, "PYTHONPATH": root}
    )


@pytest.mark.parametrize("name", ["valid.acc.ave_10best.pth", "54epoch.pth"])
def test_a_pack_of_stock_espnet(tmp_path, capsys, name):
    directory, model = write_model(tmp_path / "training")
    (directory / "54epoch.pth").write_bytes((directory / "valid.acc.ave_10best.pth").read_bytes())
    pack, out = tmp_path / "asr.zip", tmp_path / "exp/teacher"
    write_pack(tmp_path / "training", pack, "exp/stats/feats_stats.npz", name=name)
    (tmp_path / "training").rename(tmp_path / "gone")
    assert main(["nbest", "--model", str(pack), "--data", "d", "--out", str(tmp_path / "n")]) == 1
    assert (
        f"asr.zip: is a file; if it is a packed model, unpack it: kdasr adopt {pack} --out" in capsys.readouterr().err
    )
    assert adopt(pack, out) == 0
    assert same(load_model(out)[0], model) and read_config(out)["encoder"] == "conformer"
    assert (out / "exp/stats/feats_stats.npz").is_file() and (out / name).is_file()
    record = read_json(out / "kdasr.json")
    assert (record["role"], record["adopted"]) == ("teacher", str(pack))
    before = tree(out)
    assert adopt(pack, out) == 0 and tree(out) == before
    assert "has been unpacked already" in capsys.readouterr().out
    # another pack does not take its place
    write_model(tmp_path / "other", "transformer")
    write_pack(tmp_path / "other", tmp_path / "other.zip", "exp/stats/feats_stats.npz")
    assert adopt(tmp_path / "other.zip", out) == 1
    assert "holds other things, which would be lost" in capsys.readouterr().err and tree(out) == before


META = {"yaml_files": {"asr_train_config": "m/config.yaml"}, "files": {"asr_model_file": "m/valid.acc.ave.pth"}}


def made(path, *parts, meta=META, whole=True):
    """A zip of parts (name or ZipInfo, text), with a meta.yaml and what it names."""
    with zipfile.ZipFile(path, "w") as archive:
        if meta is not None:
            archive.writestr("meta.yaml", meta if isinstance(meta, str) else yaml.safe_dump(meta))
        for part, text in parts:
            archive.writestr(part, text)
        if whole:
            for name in ("m/config.yaml", "m/valid.acc.ave.pth"):
                archive.writestr(name, "x")
    return path


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("parts", "given", "said"),
    [
        ([("../evil", "x")], {}, "holds '../evil', which leads out of the pack or is no plain file"),
        ([("a/../../evil", "x")], {}, "holds 'a/../../evil', which leads out"),
        ([("/evil", "x")], {}, "holds '/evil', which leads out"),
        ([("..\\evil", "x")], {}, "which leads out"),
        ([(link("m/link"), "/etc/passwd")], {}, "holds 'm/link', which leads out of the pack or is no plain file"),
        ([("a/x", "1"), ("a//x", "2")], {}, "holds 'a//x' twice"),
        ([("config.yaml", "x")], {}, "holds two files that would be config.yaml"),
        ([("kdasr.json", "{}")], {}, "holds two files that would be kdasr.json"),
        ([("valid.acc.ave.pth", "x")], {}, "holds two files that would be valid.acc.ave.pth"),
        ([], {"meta": None}, "has no meta.yaml; expected a zip that espnet2.bin.pack has made"),
        ([], {"meta": "[1"}, "its meta.yaml names no files"),
        ([], {"meta": {"files": {}}}, "its meta.yaml names no files"),
        ([], {"meta": {**META, "files": {}}}, "names no asr_model_file that it holds"),
        ([], {"whole": False}, "names no asr_train_config that it holds"),
        ([], {"meta": {"yaml_files": {"s2t_train_config": "m/x"}, "files": {}}}, "no s2t_train_config that it holds"),
    ],
)  # fmt: skip
def test_a_pack_that_is_not_to_be_trusted(tmp_path, capsys, parts, given, said):
    (tmp_path / "in").mkdir()
    pack = made(tmp_path / "in/pack.zip", *parts, **given)
    before = tree(tmp_path)
    assert adopt(pack, tmp_path / "in/out") == 1
    assert said in capsys.readouterr().err
    assert tree(tmp_path).keys() == before.keys()


def test_a_damaged_pack(tmp_path, capsys):
    pack = made(tmp_path / "pack.zip", ("m/more", "some text that is damaged"))
    pack.write_bytes(pack.read_bytes().replace(b"that is damaged", b"that is DAMAGED"))
    assert adopt(pack, tmp_path / "out") == 1
    assert "cannot be unpacked (Bad CRC-32 for file 'm/more')" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_pack_that_the_disk_has_no_room_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=1))
    assert adopt(made(tmp_path / "pack.zip"), tmp_path / "out") == 1
    assert "pack.zip: unpacked it has 0 MiB, and 0 MiB are free; make room" in capsys.readouterr().err
