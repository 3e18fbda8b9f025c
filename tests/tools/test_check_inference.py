"""tools/check_inference.py: that it would notice a difference. tests/recipes runs both sides on real models."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "mt"))

import check_inference
from mt_models import draw, write_data, write_model

from kdasr.files import read_table, write_table

TEXTS = {"u1": "one two", "u2": "", "u3": "three"}


@pytest.mark.parametrize(
    "theirs, equal, status",
    [
        ({"u1": "one two", "u2": ""}, 2, 0),
        ({"u1": "one too", "u2": ""}, 1, 1),
        ({"u1": "one two"}, 1, 1),  # ESPnet said nothing of one
        ({"u1": "one two", "u2": "", "u9": ""}, 2, 1),  # or of one that kdasr has not
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


def test_one_unequal_model_of_several_is_told(tmp_path, monkeypatch, capsys):
    """The first differs, the second does not; --beam and --ctc_weight are those of both sides."""
    data, asked = tmp_path / "data", []
    data.mkdir()
    for name in ("feats.scp", "utt2num_frames", "utt2spk"):
        write_table(data / name, {key: name for key in TEXTS})

    def side(model, given, _out, **options):
        asked.append((str(model), list(read_table(given / "feats.scp")), options))
        return TEXTS if model.name == "b" or len(asked) == 1 else {**TEXTS, "u3": "four"}

    monkeypatch.setattr(check_inference, "kdasr_decode", side)
    monkeypatch.setattr(check_inference, "stock_decode", side)
    words = ["exp/a", "exp/b", "--data", str(data), "--beam", "7", "--ctc_weight", "0.5"]
    monkeypatch.setattr(sys, "argv", ["check_inference.py", *words])
    assert check_inference.main() == 1
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [["3", "2", "1", "exp/a"], ["3", "3", "1", "exp/b"]]
    assert asked == [(f"exp/{name}", ["u1", "u2", "u3"], {"beam": 7, "ctc_weight": 0.5}) for name in "aabb"]


def test_both_programs_search_alike(tmp_path, monkeypatch):
    """ESPnet's has its own names for options, and other defaults, which are given."""
    lines = []

    def noted(module, *words, **options):
        lines.append((module, words, options))
        write_table(tmp_path / "1best_recog/text", {"u1": "a"})
        write_table(tmp_path / "text", {"u1": "a"})

    (tmp_path / "1best_recog").mkdir()
    (tmp_path / "valid.acc.ave.pth").write_bytes(b"")
    monkeypatch.setattr(check_inference, "_run", noted)
    options = {"beam": 4, "ctc_weight": 0.25}
    for decode in (check_inference.kdasr_decode, check_inference.stock_decode):
        assert decode(tmp_path, tmp_path / "data", tmp_path, **options) == {"u1": "a"}
    assert lines[0] == (
        "kdasr.cli", ("decode", "--model", tmp_path, "--data", tmp_path / "data", "--out", tmp_path), options,
    )  # fmt: skip
    module, words, given = lines[1]
    assert (module, words) == ("kdasr.networks", ("espnet2.bin.asr_inference",))
    search = {"beam_size": 4, "ctc_weight": 0.25, "penalty": 0, "maxlenratio": 0, "minlenratio": 0, "batch_size": 1}
    assert {name: given[name] for name in search} == search and given["ngpu"] == 0
    assert (
        given["asr_model_file"] == str(tmp_path / "valid.acc.ave.pth")
        or Path(given["asr_model_file"]).name[:5] == "valid"
    )


def test_a_translator_of_kdasrs_networks_is_read_by_mt_inference(tmp_path, monkeypatch, capsys):
    """Both programs really run: kdasr's front end, encoder and decoder for text are known to ESPnet's own."""
    sentences = draw(3)
    write_data(tmp_path / "data", sentences)
    write_model(tmp_path / "model", "own_luong")
    words = [str(tmp_path / "model"), "--data", str(tmp_path / "data"), "--beam", "3"]
    words += ["--maxlenratio", "2", "--normalize_length"]
    monkeypatch.setattr(sys, "argv", ["check_inference.py", *words])
    assert check_inference.main() == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == ["3", "3", "0", str(tmp_path / "model")]


def test_what_a_translator_is_given(tmp_path, monkeypatch):
    """The same search without CTC, and text.src for audio."""
    write_model(tmp_path / "model", "own_luong")
    lines = []

    def noted(module, *words, **options):
        lines.append((module, words, options))
        write_table(tmp_path / "1best_recog/text", {"u1": "a"})

    (tmp_path / "1best_recog").mkdir()
    monkeypatch.setattr(check_inference, "_run", noted)
    check_inference.stock_decode(tmp_path / "model", tmp_path / "data", tmp_path, beam=4, maxlenratio=2.0)
    [(module, words, given)] = lines
    assert (module, words) == ("kdasr.networks", ("espnet2.bin.mt_inference",))
    assert given["data_path_and_name_and_type"] == f"{tmp_path}/data/text.src,src_text,text"
    assert (given["beam_size"], given["maxlenratio"]) == (4, 2.0)
    assert given["mt_train_config"] == tmp_path / "model/config.yaml"
    assert "ctc_weight" not in given and "asr_model_file" not in given


def test_a_program_that_fails_ends_it():
    with pytest.raises(SystemExit, match="No module named"):
        check_inference._run("kdasr.no_such_module", "x", beam=4)
