"""tools/bench_deploy.py: its table of a tiny model, and the page that it is put into."""

import sys
from pathlib import Path

import pytest
from bundles import speech, write_data, write_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import bench_deploy

from kdasr.files import write_table


def test_a_table_of_a_tiny_model(tmp_path, monkeypatch, capfd):
    lengths = {"u1": 0.5, "u2": 0.8}
    data = write_data(tmp_path / "d", {name: speech(seconds, seed=3) for name, seconds in lengths.items()}, bins=80)
    write_table(data / "utt2dur", {name: str(seconds) for name, seconds in lengths.items()})
    page = tmp_path / "page.md"
    page.write_text(f"a\n{bench_deploy.MARKS[0]}\nold\n{bench_deploy.MARKS[1]}\nb\n")
    case = ["--case", "tiny", write_model(tmp_path / "m", bins=80), data, data]
    words = ["bench_deploy.py", *case, "--rounds", "1", "--seconds", "0.6", "--write", page]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    bench_deploy.main()
    table = capfd.readouterr().out[-2000:]
    lines = table[table.index("| | tiny |") :].splitlines()
    rows = dict(line.strip("| ").split(" | ") for line in lines[2:])
    assert rows["utterances; seconds of audio"] == "2; 1"
    sizes = rows["bytes: checkpoint; fp32; int8"].replace(",", "").split("; ")
    checkpoint, fp32, int8 = map(int, sizes)
    assert checkpoint == (tmp_path / "m/valid.acc.ave.pth").stat().st_size and int8 < fp32
    for search in ("greedy", "beam 5"):
        assert rows[f"{search}: texts that are not kdasr decode's"] == "0 of 2"
    assert float(rows["beam 5: largest difference of scores"]) < 1e-3
    for slot in ("attention", "ctc"):
        assert rows[f"sherpa-onnx, {slot}, greedy: texts that are kdasr's: fp32; int8"].startswith("2 of 2; ")
    before, fp32, int8 = map(float, rows["beam 5, WER (%): kdasr decode; fp32; int8"].split("; "))
    assert before == fp32 > 0 and int8 > 0
    slow, fast = map(int, rows["memory, MB: kdasr decode; transcribe"].split("; "))
    assert slow >= fast > 0  # of this process, too, which has torch
    assert page.read_text() == f"a\n{bench_deploy.MARKS[0]}\n" + "\n".join(lines) + f"\n{bench_deploy.MARKS[1]}\nb\n"


def test_a_page_without_marks_stays(tmp_path):
    (tmp_path / "page.md").write_text("a")
    with pytest.raises(SystemExit, match=r"page.md: has no marks"):
        bench_deploy.put(tmp_path / "page.md", "| |")
    assert (tmp_path / "page.md").read_text() == "a"


def test_a_command_that_fails_ends_it(capfd):
    with pytest.raises(SystemExit, match="kdasr transcribe ended with 1; its reason stands above"):
        bench_deploy.run("transcribe", "--model", "none.zip", "a.wav")
    assert "none.zip: no such bundle" in capfd.readouterr().err


def test_the_first_seconds_of_a_set(tmp_path):
    data = write_data(tmp_path / "d", {"a": speech(0.4, seed=1), "b": speech(0.5, seed=2)})
    samples, rate = bench_deploy.first(data, 0.6)
    assert rate == 16000 and len(samples) == 9600
    assert (samples[:6400] == speech(0.4, seed=1)).all() and (samples[6400:] == speech(0.5, seed=2)[:3200]).all()
