"""An exported model is the model: texts, scores and N-best of kdasr.search; and what a bundle holds."""

import hashlib
import json
import zipfile

import numpy as np
import onnx
import pytest
import soundfile
import torch
from bundles import BINS, GREEDY, JOINT, RATE, WAVEFORM, export, found_by_search, kdasr, speech, write_data, write_model

from kdasr.files import read_json, write_json
from kdasr.runtime.recognizer import Recognizer
from kdasr.search.options import SearchOptions

MODELS = {
    "kdasr": ("kdasr", None),
    "munim": ("kdasr", {"encoder": "munim_rnn", "encoder_conf": {"hidden_size": 10, "num_layers": 2},
                        "decoder": "munim_gru", "decoder_conf": {"hidden_size": 10}}),
    "transformer": ("transformer", None),
    "conformer": ("conformer", None),
    "e_branchformer": ("e_branchformer", None),
    "rnn": ("location_lstm", None),
    "dot": ("dot", None),  # its step has no use of where it attended before
    "vgg_rnn": ("location_gru", {"encoder": "vgg_rnn", "encoder_conf": {"hidden_size": 8, "num_layers": 1}}),
    "waveform": ("conformer", WAVEFORM),
    "no ctc": ("kdasr", {"model_conf": {"ctc_weight": 0.0}}),
    "ctc alone": ("kdasr", {"model_conf": {"ctc_weight": 1.0}}),
}  # fmt: skip
LENGTHS = (1.0, 0.31, 1.9)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    waves = {f"utt{n}": speech(seconds, seed=n) for n, seconds in enumerate(LENGTHS)}
    return write_data(tmp_path_factory.mktemp("data") / "d", waves)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A model and its bundle with both networks."""
    root = tmp_path_factory.mktemp("student")
    write_model(root / "model")
    return root / "model", export(root / "model", root / "bundle", "--int8", "--licence", "CC0")


def options_of(kind):
    if kind == "ctc alone":
        return [SearchOptions(beam=3, nbest=3, ctc_weight=1.0)]
    if kind == "no ctc":
        return [SearchOptions(beam=beam, nbest=beam, ctc_weight=0.0, penalty=3.0) for beam in (1, 5)]
    return [GREEDY, JOINT]


@pytest.mark.parametrize("kind", MODELS)
def test_a_bundle_finds_what_the_search_finds(kind, data, tmp_path):
    config, changes = MODELS[kind]
    model = write_model(tmp_path / "m", config, changes=changes)
    bundle = export(model, tmp_path / "b")
    letters = 0
    for options in options_of(kind):
        given = {name: getattr(options, name) for name in ("beam", "nbest", "ctc_weight", "penalty")}
        recognizer = Recognizer(bundle, **given)
        for name, hyps in found_by_search(model, data, options).items():
            letters += len(hyps[0]["text"])
            heard = recognizer.transcribe(data / f"{name}.wav")  # its own features, or samples
            assert [one.text for one in heard.nbest] == [hyp["text"] for hyp in hyps]
            assert [one.score for one in heard.nbest] == pytest.approx([hyp["score"] for hyp in hyps], abs=2e-3)
            for one, hyp in zip(heard.nbest, hyps, strict=True):
                assert one.scores == pytest.approx(hyp["scores"], abs=2e-3)
            assert heard.text == hyps[0]["text"]
    assert letters > 10


def test_transcribe_writes_what_decode_writes(student, data, tmp_path, capsys):
    model, bundle = student
    assert kdasr("decode", "--model", model, "--data", data, "--out", tmp_path / "dec", "--beam", 5) == 0
    capsys.readouterr()
    assert kdasr("transcribe", "--model", bundle, "--data", data) == 0
    lines = capsys.readouterr().out.splitlines()
    text = (tmp_path / "dec" / "text").read_text().splitlines()
    assert [line.split("\t") for line in lines] == [[*line.partition(" ")[::2]] for line in text]


def test_what_a_bundle_holds(student):
    model, bundle = student
    settings = read_json(bundle / "bundle.json")
    assert {path.name for path in bundle.iterdir()} == {"bundle.json", *settings["files"]}
    assert settings["networks"] == {
        "fp32": {"encoder": "encoder.onnx", "decoder": "decoder.onnx"},
        "int8": {"encoder": "encoder.int8.onnx", "decoder": "decoder.int8.onnx"},
    }
    for name, sum_ in settings["files"].items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == sum_
    for name in settings["networks"]["int8"].values():
        graph = onnx.load(bundle / name)
        onnx.checker.check_model(graph)
        assert [one.version for one in graph.opset_import] == [17]
    tokens = (bundle / "tokens.txt").read_text().splitlines()
    assert tokens[0] == "<blank>" and tokens[-1] == "<sos/eos>" and len(tokens) == 18
    # conv_rnn has two strides of 2 and kernels of 3: frame i sees features from 4 i - 3 to 4 i + 3, each of 25 ms
    assert settings["frame_seconds"] == pytest.approx(0.04) and settings["first_frame_seconds"] == pytest.approx(0.0125)
    assert settings["features"] == {"kind": "fbank", "bins": BINS} and settings["sample_rate"] == RATE
    assert settings["search"] == {**settings["search"], "beam": 5, "nbest": 1, "ctc_weight": 0.3}
    assert settings["card"]["licence"] == "CC0"
    weights = torch.load(model / "valid.acc.ave.pth", weights_only=True)
    page = (bundle / "README.md").read_text()
    assert "CC0" in page and f"| parameters | {settings['card']['parameters']} |" in page
    assert 0 < settings["card"]["parameters"] <= sum(weight.numel() for weight in weights.values())
    for precision, files in settings["networks"].items():
        size = sum((bundle / file).stat().st_size for file in files.values())
        assert settings["card"]["networks"][precision]["bytes"] == size and f"| {precision} | {size} |" in page


def test_a_zip_is_the_directory(student, tmp_path):
    model, bundle = student
    export(model, tmp_path / "s.zip", "--int8", "--licence", "CC0")
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.namelist() == sorted(path.name for path in bundle.iterdir())
        for path in bundle.iterdir():
            assert archive.read(path.name) == path.read_bytes(), path.name
    assert [path.name for path in tmp_path.iterdir()] == ["s.zip"]
    once = (tmp_path / "s.zip").read_bytes()
    export(model, tmp_path / "s.zip", "--int8", "--licence", "CC0")
    assert (tmp_path / "s.zip").read_bytes() == once
    export(model, tmp_path / "d", "--zip", "--int8", "--licence", "CC0")
    assert (tmp_path / "d.zip").read_bytes() == once and (tmp_path / "d" / "bundle.json").is_file()


def test_the_card_has_the_rates_that_score_gives(student, data, tmp_path, capsys):
    model, _ = student
    bundle = export(model, tmp_path / "b", "--int8", "--data", data, "--beam", 2)
    shown = capsys.readouterr().out
    card = read_json(bundle / "bundle.json")["card"]
    assert kdasr("decode", "--model", model, "--data", data, "--out", tmp_path / "dec", "--beam", 2) == 0
    files = ("--ref", data / "text", "--hyp", tmp_path / "dec" / "text", "--utt2spk", data / "utt2spk")
    assert kdasr("score", *files, "--dir", tmp_path / "score") == 0
    wer = float(capsys.readouterr().out.split("WER")[1].split()[0].strip("="))
    rows = card["networks"]
    assert rows["checkpoint"]["wer"] == rows["fp32"]["wer"] == pytest.approx(wer, abs=0.01)
    assert rows["fp32"]["other_than_checkpoint"] == 0 and 0 <= rows["int8"]["other_than_checkpoint"] <= 3
    assert all(0 < row["rtf"] < 5 for row in rows.values())
    assert card["set"]["utterances"] == 3 and card["set"]["name"] == str(data)
    assert f"| fp32 | {rows['fp32']['bytes']} | {wer:.2f} |" in shown
    table = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(table) == 5 and "\n".join(table) in (bundle / "README.md").read_text()


def test_other_things_stay(student, tmp_path, capsys):
    model, _ = student
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("x")
    (tmp_path / "t.zip").write_text("x")
    for name, said in (("d", "holds other things than a bundle"), ("t.zip", "is something else than a zip")):
        assert kdasr("export", "--model", model, "--out", tmp_path / name) == 1
        assert f"kdasr export: {tmp_path}/{name}: {said}" in capsys.readouterr().err
    assert (tmp_path / "d" / "thesis.txt").read_text() == "x" and (tmp_path / "t.zip").read_text() == "x"


def test_what_fails_leaves_nothing(tmp_path, capsys):
    model = write_model(tmp_path / "m", "coverage")
    assert kdasr("export", "--model", model, "--out", tmp_path / "b") == 1
    error = capsys.readouterr().err
    assert f"{model}: its decoder RNNDecoder with AttCov cannot be exported" in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert kdasr("export", "--model", tmp_path / "none", "--out", tmp_path / "b") == 1
    assert str(tmp_path / "none") in capsys.readouterr().err


@pytest.mark.parametrize("words, said", [
    (("--ctc_weight", "0.5", "--beam", "0"), "beam"),
    (("--nlsyms", "x"), "--nlsyms, --wsj_filter: are for the score on a set; name one"),
    (("--out", "a.zip", "--zip"), "--zip: a.zip is a zip already"),
    (("--model_file", "no.pth"), "no.pth"),
])  # fmt: skip
def test_options_that_cannot_be(student, tmp_path, monkeypatch, words, said, capsys):
    monkeypatch.chdir(tmp_path)
    assert kdasr("export", "--model", student[0], "--out", "b", *words) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not list(tmp_path.iterdir())


def test_weights_of_ctc_need_a_branch(tmp_path, capsys):
    for name, weight, said in (("a", 0.0, "has no CTC branch"), ("b", 1.0, "has no attention decoder")):
        model = write_model(tmp_path / name, changes={"model_conf": {"ctc_weight": weight}})
        assert kdasr("export", "--model", model, "--out", tmp_path / "out", "--ctc_weight", 0.3) == 1
        assert f"--ctc_weight 0.3: {model} {said}" in capsys.readouterr().err


def test_features_of_a_kind(tmp_path, capsys):
    """Spectrograms are made by the runtime, too; what one utterance cannot give is refused."""
    model = write_model(tmp_path / "m")
    made = {"features": "log power spectrogram", "rate": 16000, "normalised": "no"}
    cases = {"has features 'mfcc'": {"features": "mfcc"}, "normalised by speaker": {"normalised": "speaker"}}
    for said, changes in cases.items():
        write_json(model / "features.json", made | changes)
        assert kdasr("export", "--model", model, "--out", tmp_path / "b") == 1
        assert said in capsys.readouterr().err


def test_a_set_without_references(student, tmp_path, capsys):
    model, _ = student
    data = write_data(tmp_path / "d", {"u": speech(0.5)})
    (data / "text").unlink()
    assert kdasr("export", "--model", model, "--out", tmp_path / "b", "--data", data) == 1
    assert f"{data}/text: no such file; error rates are measured against it" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_how_short_an_utterance_may_be(student, tmp_path):
    """The shortest that torch encodes; one frame less is nothing, and no error."""
    _, bundle = student
    recognizer = Recognizer(bundle)
    shortest = json.loads((bundle / "bundle.json").read_text())["shortest"]
    x = np.random.default_rng(0).normal(size=(shortest, BINS)).astype(np.float32)
    assert recognizer.model.networks.encode(x).frames >= 1 and recognizer.model.networks.encode(x[1:]) is None
    soundfile.write(tmp_path / "a.wav", speech(0.02), RATE)
    heard = recognizer.transcribe(tmp_path / "a.wav")
    assert heard.text == "" and heard.words == () and heard.nbest[0].score == 0.0
