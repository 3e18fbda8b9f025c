"""Figures of images that are damaged are named, by file."""

import json

import numpy as np
from commands import mnist

from kdasr.files import write_json

BROKEN = ["", "not json", "[]", "5", '{"label": "x"', '{"a": ' + "[" * 9000, "\0", "\ufeff[1]"]


def said_of(capsys, words):
    """The one line of an error, that names a file and what to do."""
    capsys.readouterr()
    assert mnist([str(word) for word in words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("images_report.py: ") and (";" in line or "is a directory" in line)
    return line


def test_damaged_figures_of_images_are_named(tmp_path, capsys):
    images = {f"{part}_images": np.zeros((20, 2, 2), np.uint8) for part in ("train", "test")}
    images |= {f"{part}_labels": np.arange(20, dtype=np.uint8) % 10 for part in ("train", "test")}
    np.savez(tmp_path / "images.npz", name="x", **images)
    words = ["report", "--exp", tmp_path, "--data", tmp_path / "images.npz", "--out", tmp_path / "R.md"]
    model = {"label": "student", "hidden": 5, "layers": 2, "classes": [0, 1, 2], "errors": 3, "cpu_seconds": 1.0}
    model |= {"parameters": 5, "images": 6, "temperature": 2.0}
    sets = {"generalist": "g", "specialists": [{"classes": [1]}], "alone": 1, "together": 1, "temperature": 2.0}
    good = {"m/kdasr.json": model, "s/specialists.json": sets | {"cpu_seconds": 1.0}}
    for file, value in good.items():
        write_json(tmp_path / file, value)
    np.savez(tmp_path / "m/logits.npz", test=np.eye(20, 10, dtype=np.float32))
    assert mnist([str(word) for word in words]) == 0
    for file, value in good.items():
        needed = [key for key in value if key not in ("hidden", *(["temperature"] * (file == "m/kdasr.json")))]
        lacking = [{key: kept for key, kept in value.items() if key != left_out} for left_out in needed]
        wrong = [value | {key: {}} for key in value] + lacking
        wrong += [value | {"classes": classes} for classes in ([], [10], ["x"])] * (file == "m/kdasr.json")
        for text in [*BROKEN, *map(json.dumps, wrong)]:
            (tmp_path / file).write_text(text)
            assert file in said_of(capsys, words)
        write_json(tmp_path / file, value)
    logits = tmp_path / "m/logits.npz"
    whole = logits.read_bytes()
    for data in (b"", b"x", whole[:100], whole[:-50], whole[:200] + b"xyz" + whole[203:]):
        logits.write_bytes(data)
        assert "m/logits.npz: is damaged" in said_of(capsys, words)
    for wrong_logits in (np.zeros(20), np.zeros((20, 3)), np.array([["x"] * 10] * 20)):
        np.savez(logits, test=wrong_logits)
        assert "m/logits.npz: holds no logits of 10 classes" in said_of(capsys, words)
    np.savez(logits, test=np.zeros((19, 10)))
    assert "has 19 test images, --data has 20" in said_of(capsys, words)
    logits.unlink()
    assert "m/logits.npz: no such file" in said_of(capsys, words)
