"""Checkpoints: compared with what was written, whole or not there, and nothing in them is run."""

import hashlib
import shutil

import pytest
import torch
from strangers import Touch

from kdasr import checkpoints, torch_files
from kdasr.errors import UserError
from kdasr.files import read_json, write_json

CHANGED = "was changed after"


@pytest.fixture
def model(tmp_path):
    """A finished directory with one of each kind of file that a record has, and some that it has not."""
    model = tmp_path / "m"
    (model / "tokens").mkdir(parents=True)
    torch.save({"w": torch.ones(2)}, model / "3epoch.pth")
    (model / "latest.pth").symlink_to("3epoch.pth")
    torch.save({"w": torch.zeros(2)}, model / "mask.pth")
    for name in (
        "cmvn.npz",
        "config.yaml",
        "tokens/tokens.txt",
        "tokens/bpe.model",
        "train.log",
        ".x.pth.tmp",
        ".y.pth",
    ):
        (model / name).write_text(name)
    write_json(model / checkpoints.NOTES, {"3epoch.pth": ["0" * 64]})
    checkpoints.write_record(model, {"label": "a", "sha256": {"mask.pth": "old"}})
    return model


IN_RECORD = ("3epoch.pth", "latest.pth", "mask.pth", "cmvn.npz", "tokens/tokens.txt", "tokens/bpe.model", "config.yaml")


def test_a_record_has_the_checksum_of_every_file_that_is_loaded(model):
    record = read_json(model / checkpoints.RECORD)
    assert record["label"] == "a" and not (model / checkpoints.NOTES).exists()
    assert record["sha256"] == {name: checkpoints.sha256(model / name) for name in IN_RECORD}
    assert checkpoints.checksums(model, ["*.npz"]) == {"cmvn.npz": record["sha256"]["cmvn.npz"]}
    (model / "w.npz").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert checkpoints.sha256(model / "w.npz") == known


@pytest.mark.parametrize("name", IN_RECORD)
def test_every_file_of_a_record_is_compared(model, name, capsys):
    path, sums = model / name, read_json(model / checkpoints.RECORD)["sha256"]
    assert checkpoints.recorded(path) == checkpoints.sha256(path) == checkpoints.check(path)
    checkpoints.check_known(path)
    checkpoints.compare(model, sums, "make it again")
    assert capsys.readouterr().out == ""
    with path.open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(UserError, match=rf"{name}: was changed after it was written .*; make it again"):
        checkpoints.compare(model, {name: sums[name]}, "make it again")
    with pytest.raises(UserError, match="make it again"):
        checkpoints.compare(model, sums, "make it again")
    if name == "config.yaml":  # a person may edit it
        assert checkpoints.check(path) == checkpoints.sha256(path) != sums[name]
        assert f"{path}: was changed after the training ended" in capsys.readouterr().out
    else:
        for check in (checkpoints.check, checkpoints.check_known):
            with pytest.raises(UserError, match=f"{name}: was changed after the training ended"):
                check(path)
    path.unlink()
    checkpoints.compare(model, {name: sums[name]}, "make it again")  # that one is absent, who needs it says


def test_of_what_has_no_record_a_line_is_said_once(model, tmp_path, capsys):
    checkpoints.check_known(model / "train.log")
    assert capsys.readouterr().out == ""
    shutil.copytree(model, tmp_path / "bare", symlinks=True)
    (tmp_path / "bare" / checkpoints.RECORD).unlink()
    for name in ("3epoch.pth", "latest.pth", "3epoch.pth"):  # one file, by two names
        path = tmp_path / "bare" / name
        assert checkpoints.recorded(path) is None and checkpoints.check(path) == checkpoints.sha256(path)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and said.startswith(f"{tmp_path}/bare/3epoch.pth: no checksum is known of it")
    for sums in (None, [], "text", {}):
        checkpoints.compare(model, sums, "make it again")


def test_the_last_two_checksums_of_a_checkpoint_are_noted(tmp_path):
    """It and the one that it replaces: killed between the note and the rename, either may be there."""
    path = tmp_path / "checkpoint.pth"
    checkpoints.check_noted(path)  # nothing is known of it
    states = []
    for epoch in range(3):
        torch_files.save(path, {"epoch": epoch})
        states.append(path.read_bytes())
    sums = read_json(tmp_path / checkpoints.NOTES)["checkpoint.pth"]
    assert sums[0] == checkpoints.sha256(path) and len(sums) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint.pth", checkpoints.NOTES]
    for epoch, state in enumerate(states):
        path.write_bytes(state)
        if epoch:
            checkpoints.check_noted(path)
            assert torch_files.resume(path, {"epoch"}) == {"epoch": epoch}
        else:
            for check in (checkpoints.check_noted, lambda path: torch_files.resume(path, {"epoch"})):
                with pytest.raises(UserError, match=r"checkpoint\.pth: was changed after it was written"):
                    check(path)


def test_notes_of_other_checkpoints_stay_while_these_are_there(tmp_path):
    for name in ("a.pth", "b.pth", "c.pth"):
        torch_files.save(tmp_path / name, {"name": name})
    (tmp_path / "b.pth").unlink()
    torch_files.save(tmp_path / "c.pth", {"name": "d"})
    notes = read_json(tmp_path / checkpoints.NOTES)
    assert {name: len(sums) for name, sums in notes.items()} == {"a.pth": 1, "c.pth": 2}
    for name in ("a.pth", "c.pth"):
        assert notes[name][0] == checkpoints.sha256(tmp_path / name)


def test_what_is_no_checkpoint_of_a_training_is_not_resumed(tmp_path):
    path = tmp_path / "checkpoint.pth"
    for value in ({"model": 1, "epoch": 2}, {"model": 1, "epoch": 2, "more": 3}):
        torch_files.save(path, value)
        assert torch_files.resume(path, {"model", "epoch"}) == value
    for value in ({"model": 1}, {"epoch": 1, "other": 2}, {}, [1, 2]):
        torch_files.save(path, value)
        with pytest.raises(UserError, match=r"is not the checkpoint of a training; remove .* and train again"):
            torch_files.resume(path, {"model", "epoch"})


def test_weights_are_tensors_by_name(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(2), "b": torch.zeros(1)}, path)
    assert list(torch_files.load_weights(path)) == ["a", "b"]
    for value in ({}, {"a": torch.ones(2), "b": 3}, [torch.ones(2)], torch.ones(2), {"epoch": 1}):
        torch.save(value, path)
        with pytest.raises(UserError, match="holds no model's weights"):
            torch_files.load_weights(path)


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    torch.save({"a": Touch(tmp_path / "run")}, tmp_path / "bomb.pth")
    with pytest.raises(UserError, match="holds objects that are no tensors, which could run a program"):
        torch_files.load(tmp_path / "bomb.pth")
    assert not (tmp_path / "run").exists()
    torch.save({"a": torch.ones(9)}, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:-50])
    (tmp_path / "text.pth").write_text("text")
    for name in ("cut.pth", "text.pth"):
        with pytest.raises(UserError, match=rf"{name}: is no (sheet|checkpoint), or is damaged"):
            torch_files.load(tmp_path / name, "sheet")
    with pytest.raises(UserError, match="no such file; train the model first"):
        torch_files.load(tmp_path / "none.pth")
    with pytest.raises(UserError, match="cannot be read"):
        checkpoints.sha256(tmp_path / "none.pth")


def test_numbers_and_times_of_espnets_reporter_are_read(tmp_path):
    import datetime

    import numpy as np

    kinds = (np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32, np.uint64, *(np.float16, np.float32))
    value = {"time": datetime.timedelta(seconds=3), "float": np.float64(0.5)} | {
        kind.__name__: kind(1) for kind in kinds
    }
    torch.save(value, tmp_path / "c.pth")
    found = torch_files.load(tmp_path / "c.pth")
    assert found == value and type(found["int16"]) is np.int16


def test_a_checksum_is_of_the_whole_file(tmp_path):
    data = bytes(range(256)) * 5000  # more than is read at once
    (tmp_path / "x").write_bytes(data)
    assert checkpoints.sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()
    (tmp_path / "x").write_bytes(data[:-1] + b"x")
    assert checkpoints.sha256(tmp_path / "x") != hashlib.sha256(data).hexdigest()
