"""tools/check_inference.py: that it would notice a difference. tests/recipes runs both sides on real models."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import check_inference

from kdasr.files import read_table, write_table

TEXTS = {"u1": "one two", "u2": "", "u3": "three"}


@pytest.mark.parametrize(
    "theirs, equal, status",
    [
        ({"u1": "one two", "u2": ""}, 2, 0),
        ({"u1": "one too", "u2": ""}, 1, 1),
        ({"u1": "one two"}, 1, 1),  # ESPnet said nothing of one
    ],
)
def test_what_differs_is_counted(theirs, equal, status, tmp_path, monkeypatch, capsys):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("feats.scp", "utt2num_frames", "utt2spk"):
        write_table(data / name, {key: name for key in TEXTS})

    def ours(_model, given, _out, **options):
        keys = read_table(given / "feats.scp")
        assert list(keys) == ["u1", "u2"] and options == {"beam": 4, "ctc_weight": 0.3}
        assert read_table(given / "utt2num_frames").keys() == keys.keys()
        return {key: TEXTS[key] for key in keys}

    monkeypatch.setattr(check_inference, "kdasr_decode", ours)
    monkeypatch.setattr(check_inference, "stock_decode", lambda *_, **__: theirs)
    words = ["exp/m", "--data", str(data), "--utterances", "2", "--beam", "4"]
    monkeypatch.setattr(sys, "argv", ["check_inference.py", *words])
    assert check_inference.main() == status
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == [str(len(theirs)), str(equal), str(list(theirs.values()).count("")), "exp/m"]
