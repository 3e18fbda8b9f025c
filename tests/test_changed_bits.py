"""A flipped bit in what one stage wrote is noticed by every command that reads it: exit 1, one sentence, the file."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_training
import yaml

from kdasr import arrays, checkpoints
from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.files import read_json, read_table, write_json, write_table

BINS = 23
SMALLER = 3000  # parameters
WORDS = "ABABABAAABBAB"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Features, a trained model, its pruned and shrunk copies, targets with soft ones: all by kdasr's commands."""
    root = tmp_path_factory.mktemp("bits")
    random = np.random.default_rng(0)
    for part, count in (("train", 6), ("valid", 3)):
        data = root / "data" / part
        data.mkdir(parents=True)
        names = [f"{part}{number}" for number in range(count)]
        for name in names:
            wave = np.clip(random.normal(0, 2000, 8000), -32768, 32767).astype(np.int16)
            soundfile.write(data / f"{name}.wav", wave, 16000, subtype="PCM_16")
        write_table(data / "wav.scp", {name: f"{data}/{name}.wav" for name in names})
        write_table(data / "utt2spk", dict.fromkeys(names, part))
        write_table(data / "text", {name: WORDS[k : k + 4] for k, name in enumerate(names)})
        assert kdasr("feats", "--data", data, "--out", root / part, "--bins", BINS) == 0
    tiny_training.write_tokens(root / "char")
    config = tiny_training.CONFIG | {"max_epoch": 2}
    (root / "c.yaml").write_text(yaml.safe_dump(config))
    assert kdasr(*train(root, "m")) == 0
    assert kdasr("prune", "--model", root / "m", "--sparsity", 0.5, "--out", root / "pruned") == 0
    assert kdasr("export", "--model", root / "m", "--out", root / "bundle") == 0
    assert kdasr("shrink", "--model", root / "m", "--params", SMALLER, "--out", root / "shrunk") == 0
    refs = ("--refs", root / "train/text", "--tokens", root / "char", "--out", root / "targets")
    assert kdasr("targets", *refs) == 0
    assert kdasr("soft", "--model", root / "m", "--targets", root / "targets", "--data", root / "train", "--ctc") == 0
    return root


def kdasr(*words):
    return main([str(word) for word in words])


def train(root, name, *more):
    sets = ("--train", root / "train", "--valid", root / "valid", "--tokens", root / "char")
    return ("train", "--config", root / "c.yaml", *sets, "--out", root / name, *more)


def transcribe(root, name):
    return ("transcribe", "--model", root / name, "--data", root / "valid")


def decode(root, name, *more):
    return ("decode", "--model", root / name, "--data", root / "valid", "--out", root / "decoded", "--beam", 2, *more)


def shrink(root, *more):
    return ("shrink", "--model", root / "m", "--params", SMALLER, "--out", root / "shrunk2", *more)


TAUGHT = ("--kd", "word_weight=0.5", "ctc_word_weight=0.5", "--role", "student")
# file: the commands that read it
READ = {
    "train/feats.0.ark": [
        lambda r: train(r, "again"),
        lambda r: ("soft", "--model", r / "m", "--targets", r / "targets2", "--data", r / "train"),
        lambda r: ("nbest", "--model", r / "m", "--data", r / "train", "--out", r / "nbest", "--beam", 2, "--nbest", 2),
    ],
    "valid/feats.0.ark": [
        lambda r: train(r, "again"),
        lambda r: decode(r, "m"),
        lambda r: ("ppl", "--model", r / "m", "--data", r / "valid", "--out", r / "ppl"),
        lambda r: ("frames", "align", "--model", r / "m", "--data", r / "valid", "--out", r / "ali"),
        lambda r: transcribe(r, "bundle"),
        lambda r: ("export", "--model", r / "m", "--out", r / "bundle2", "--data", r / "valid"),
        lambda r: shrink(r, "--data", r / "valid"),
    ],
    "m/valid.acc.ave.pth": [
        lambda r: decode(r, "m"),
        lambda r: ("nbest", "--model", r / "m", "--data", r / "valid", "--out", r / "nbest", "--beam", 2, "--nbest", 2),
        lambda r: ("soft", "--model", r / "m", "--targets", r / "targets2", "--data", r / "train"),
        lambda r: ("ppl", "--model", r / "m", "--data", r / "valid", "--out", r / "ppl"),
        lambda r: ("prune", "--model", r / "m", "--sparsity", 0.5, "--out", r / "pruned2"),
        lambda r: ("export", "--model", r / "m", "--out", r / "bundle2"),
        lambda r: transcribe(r, "m"),
        lambda r: shrink(r),
        lambda r: shrink(r, "--data", r / "valid"),
        lambda r: train(r, "again", "--init", r / "m"),
        lambda r: train(r, "again", "--kd", "word_weight=0.5", f"teachers=[{r}/m]"),
        lambda r: ("frames", "align", "--model", r / "m", "--data", r / "valid", "--out", r / "ali"),
    ],
    **{
        f"bundle/{file}": [lambda r: transcribe(r, "bundle")]
        for file in ("encoder.onnx", "decoder.onnx", "tokens.txt", "bundle.json")
    },
    "m/tokens/tokens.json": [lambda r: transcribe(r, "m"), lambda r: ("export", "--model", r / "m", "--out", r / "b2")],
    "m/1epoch.pth": [lambda r: decode(r, "m", "--model_file", "1epoch.pth")],
    "m/tokens/nlsyms.txt": [lambda r: decode(r, "m")],
    "pruned/mask.pth": [
        lambda r: train(r, "again", "--init", r / "pruned", "--mask", r / "pruned/mask.pth"),
    ],
    "pruned/valid.acc.ave.pth": [lambda r: decode(r, "pruned")],
    "shrunk/valid.acc.ave.pth": [lambda r: decode(r, "shrunk"), lambda r: train(r, "again", "--init", r / "shrunk")],
    "targets/soft.ark": [lambda r: train(r, "again", "--targets", r / "targets", *TAUGHT)],
    "targets/hyps": [lambda r: train(r, "again", "--targets", r / "targets", *TAUGHT)],
    "targets/weights": [lambda r: train(r, "again", "--targets", r / "targets", *TAUGHT)],
    "m/tokens/tokens.txt": [
        lambda r: ("prune", "--model", r / "m", "--sparsity", 0.5, "--out", r / "pruned2"),
        lambda r: shrink(r),
        lambda r: shrink(r, "--data", r / "valid"),
    ],
    "targets/ctc.ark": [lambda r: train(r, "again", "--targets", r / "targets", *TAUGHT)],
}


@pytest.fixture
def copy(place, tmp_path, monkeypatch):
    """A copy at the same path, as archives are named by theirs; the original waits elsewhere meanwhile."""
    shutil.copytree(place, tmp_path / "whole", symlinks=True)
    shutil.copytree(place / "targets", place / "targets2")
    for name in ("soft", "ctc"):
        for end in ("scp", "ark", "sha256"):
            (place / f"targets2/{name}.{end}").unlink()
    (place / "targets2/soft.json").unlink()
    yield place
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "whole", place, symlinks=True)


def flipped(path, place, bit):
    """Flip a bit of a file; its own text is given back by writing what is returned."""
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
    return whole


def test_statistics_are_what_was_written_or_refused(place, tmp_path):
    """An .npz has a CRC of each array: what is read of one with a flipped bit is never another value."""
    names = ("count", "sum", "sum_square")
    expected = arrays.read_npz(place / "train/cmvn.npz", names, "")
    path = Path(shutil.copy(place / "train/cmvn.npz", tmp_path))
    for at in range(0, path.stat().st_size, 7):
        whole = flipped(path, at, 2)
        try:
            found = arrays.read_npz(path, names, "make it again")
        except UserError:
            found = expected
        assert all(np.array_equal(found[name], expected[name]) for name in names)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("file", "command"), [(file, command) for file, commands in READ.items() for command in range(len(commands))]
)
def test_every_reader_notices(copy, capsys, file, command):
    path = copy / file
    size = path.stat().st_size or 1
    if not path.stat().st_size:
        path.write_bytes(b"\n")
    for place, bit in ((size // 2, 1), (size - 1, 128), (size // 3, 16)):
        whole = flipped(path, place, bit)
        capsys.readouterr()
        assert kdasr(*READ[file][command](copy)) == 1
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kdasr ")]
        assert len(said) == 1 and path.name in said[0], said
        path.write_bytes(whole)


def test_a_list_that_points_to_another_utterance_is_noticed(copy, capsys):
    """A flipped bit of feats.scp gives another offset or another name; a renamed copy of a set is none."""
    table = read_table(copy / "valid/feats.scp")
    first, second, _ = table
    for changed in ({first: table[second]}, {first: f"{table[first][:-1]}9"}, {first: None, "valid8": table[first]}):
        rows = {key: value for key, value in (table | changed).items() if value is not None}
        write_table(copy / "valid/feats.scp", rows)
        capsys.readouterr()
        assert kdasr(*decode(copy, "m")) == 1
        said = capsys.readouterr().err
        assert "its matrix is looked for at" in said and said.count("\n") == 1
    write_table(copy / "valid/feats.scp", table)
    script = Path(__file__).parents[1] / "utils/copy_data_dir.py"
    words = ["--utt-prefix=p-", "--spk-prefix=p-", copy / "valid", copy / "renamed"]
    subprocess.run([sys.executable, script, *words], check=True, capture_output=True)
    assert kdasr(*decode(copy, "m")[:3], "--data", copy / "renamed", "--out", copy / "decoded2", "--beam", 2) == 0


def test_soft_targets_of_another_utterance_are_noticed(copy, capsys):
    """Of a frame's distributions there is nothing else to tell; a moved directory's list may be edited."""
    table = read_table(copy / "targets/ctc.scp")
    first, second, *_ = table
    write_table(copy / "targets/ctc.scp", table | {first: table[second]})
    capsys.readouterr()
    assert kdasr(*train(copy, "again", "--targets", copy / "targets", *TAUGHT)) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kdasr ")]
    assert len(said) == 1 and f"{first}: its matrix is looked for at" in said[0]
    shutil.copytree(copy / "targets", copy / "moved")
    moved = {key: place.replace(f"{copy}/targets/", f"{copy}/moved/") for key, place in table.items()}
    write_table(copy / "moved/ctc.scp", moved)
    assert kdasr(*train(copy, "again2", "--targets", copy / "moved", *TAUGHT)) == 0


def test_a_config_that_was_edited_is_said_to_be(copy, capsys):
    config = copy / "m/config.yaml"
    config.write_text(config.read_text() + "# edited by hand\n")
    assert kdasr(*decode(copy, "m")) == 0
    assert f"{config}: was changed after the training ended" in capsys.readouterr().out


def test_of_a_model_without_a_record_it_is_said(copy, capsys):
    record = read_json(copy / "m/kdasr.json")
    write_json(copy / "m/kdasr.json", {key: value for key, value in record.items() if key != "sha256"})
    assert kdasr(*decode(copy, "m", "--nj", 2)) == 0
    said = capsys.readouterr().out
    assert said.count("no checksum is known of it") == 1 and "valid.acc.ave" in said


def test_the_record_has_the_checksums_of_what_is_there(place):
    sums = read_json(place / "m/kdasr.json")["sha256"]
    names = {str(path.relative_to(place / "m")) for path in (place / "m").rglob("*") if path.suffix == ".pth"}
    assert names | {"config.yaml", "cmvn.npz", "tokens/tokens.txt"} <= sums.keys()
    assert sums["valid.acc.ave.pth"] == checkpoints.sha256(place / "m/valid.acc.ave.pth")
    assert not (place / "m" / checkpoints.NOTES).exists()
    assert read_json(place / "pruned/kdasr.json")["sha256"]["mask.pth"] == checkpoints.sha256(place / "pruned/mask.pth")
