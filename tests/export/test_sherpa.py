"""Files for stock sherpa-onnx: its wheel writes the texts of kdasr's own greedy search, from samples."""

import re

import numpy as np
import onnx
import pytest
import soundfile
import torch
from bundles import GREEDY, add_bias, export, found_by_search, kdasr, speech, write_data, write_model, write_student

from kdasr.export.sherpa import table
from kdasr.models import Models, find_model
from kdasr.runtime.spell import Spelling
from kdasr.search.engine import Engine
from kdasr.search.options import Computing
from kdasr.search.rows import read_rows

BINS = 80  # of sherpa-onnx's slots
LENGTHS = (1.0, 0.31, 1.9, 0.2)
ALONE = {"normalize": "utterance_mvn", "normalize_conf": {}}
MUNIM = {"encoder": "munim_rnn", "encoder_conf": {"hidden_size": 10, "num_layers": 2}}
LSTM = {"decoder_conf": {"hidden_size": 12, "embed_size": 6, "attention_size": 8, "cell_type": "lstm", "num_layers": 2}}
MODELS = {
    "conv_rnn, attention_gru": ("kdasr", None, ("attention", "ctc")),
    "cells of an LSTM": ("kdasr", LSTM, ("attention", "ctc")),
    "munim": ("kdasr", MUNIM | {"decoder": "munim_gru", "decoder_conf": {"hidden_size": 10}}, ("attention", "ctc")),
    "normalised over the utterance": ("kdasr", ALONE, ("attention", "ctc")),
    "no ctc": ("kdasr", {"model_conf": {"ctc_weight": 0.0}}, ("attention",)),
    "conformer": ("conformer", None, ("ctc",)),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    waves = {f"utt{n}": speech(seconds, seed=n) for n, seconds in enumerate(LENGTHS)}
    return write_data(tmp_path_factory.mktemp("data") / "d", waves, BINS)


@pytest.fixture(scope="module")
def student(data, tmp_path_factory):
    root = tmp_path_factory.mktemp("student")
    write_student(root / "model", data)
    return root / "model", export(root / "model", root / "out", "--format", "sherpa-onnx", "--int8")


def recognizer(directory, slot, precision=""):
    import sherpa_onnx

    if slot == "ctc":
        return sherpa_onnx.OfflineRecognizer.from_fire_red_asr_ctc(
            model=str(directory / f"ctc{precision}.onnx"), tokens=str(directory / "tokens.txt")
        )
    return sherpa_onnx.OfflineRecognizer.from_fire_red_asr(
        encoder=str(directory / f"encoder{precision}.onnx"),
        decoder=str(directory / f"decoder{precision}.onnx"),
        tokens=str(directory / "tokens_attention.txt"),
    )


def streams(made, data):
    """A stream of each utterance, with its samples."""
    found = {}
    for n in range(len(LENGTHS)):
        samples, rate = soundfile.read(data / f"utt{n}.wav", dtype="float32")
        stream = found[f"utt{n}"] = made.create_stream()
        stream.set_option("max_token_per_second", "100")
        stream.accept_waveform(rate, samples)
    return found


def heard(made, data, together=False):
    """Utterance -> text."""
    found = streams(made, data)
    if together:
        made.decode_streams(list(found.values()))
    else:
        for stream in found.values():
            made.decode_stream(stream)
    return {name: stream.result.text.strip() for name, stream in found.items()}


def expected(model, data, slot):
    """Utterance -> text of kdasr's greedy search, or of CTC's best token in each frame."""
    if slot == "attention":
        return {name: hyps[0]["text"].strip() for name, hyps in found_by_search(model, data, GREEDY).items()}
    source = find_model(model, None)
    engine = Engine(Models((source,)), GREEDY, Computing(40000))
    texts = {}
    for row in read_rows(str(data), source):
        hs = engine.encoders[0].encode([torch.from_numpy(engine.read(row))])[0]
        best = engine.model.ctc.log_softmax(hs[None])[0].argmax(1)
        ids = [i for i in torch.unique_consecutive(best).tolist() if i != engine.model.blank_id]
        texts[row.name] = engine.spell(ids).strip()
    return texts


@pytest.mark.needs("sherpa")
@pytest.mark.parametrize("kind", MODELS)
def test_sherpa_writes_what_kdasr_writes(kind, data, tmp_path):
    config, changes, slots = MODELS[kind]
    model = write_student(tmp_path / "m", data, config, 7 if changes is LSTM else 6, changes)
    out = export(model, tmp_path / "out", "--format", "sherpa-onnx")
    files = {"attention": {"encoder.onnx", "decoder.onnx", "tokens_attention.txt"}, "ctc": {"ctc.onnx", "tokens.txt"}}
    assert {path.name for path in out.iterdir()} == {"README.md"}.union(*(files[slot] for slot in slots))
    for slot in slots:
        right = expected(model, data, slot)
        assert sum(map(len, right.values())) > 10 and len(set(right.values())) > 2
        assert heard(recognizer(out, slot), data) == right


@pytest.mark.needs("sherpa")
def test_several_streams_at_once(student, data):
    model, out = student
    assert heard(recognizer(out, "ctc"), data, together=True) == expected(model, data, "ctc")
    assert "may be decoded at once" in (out / "README.md").read_text()


def test_an_encoder_of_one_utterance_says_so(tmp_path):
    for name, config, changes in (("a", "conformer", None), ("b", "kdasr", ALONE), ("c", "kdasr", MUNIM)):
        model = write_model(tmp_path / name, config, changes=changes, bins=BINS)
        out = export(model, tmp_path / f"{name}_out", "--format", "sherpa-onnx")
        assert "Decode streams one at a time" in (out / "README.md").read_text()
        sizes = onnx.load(out / "ctc.onnx").graph.input[0].type.tensor_type.shape.dim
        assert sizes[0].dim_value == 1 and sizes[1].dim_param == "T"


@pytest.mark.needs("sherpa")
def test_int8_runs(student, data):
    """Random weights are a worst case, so that texts may differ; probabilities are near."""
    import onnxruntime

    _, out = student
    for slot in ("attention", "ctc"):
        found = heard(recognizer(out, slot, ".int8"), data)
        assert all(found.values())
    x = np.random.default_rng(3).normal(0, 3, (1, 200, BINS)).astype(np.float32)
    fed = {"x": x, "x_lens": np.array([200])}
    small, whole = (
        np.exp(onnxruntime.InferenceSession(out / name).run(None, fed)[0]) for name in ("ctc.int8.onnx", "ctc.onnx")
    )
    assert 0 < np.abs(small - whole).mean() < 0.02


@pytest.mark.needs("sherpa")
def test_a_decoder_that_never_ends_stops_where_the_search_stops(data, tmp_path):
    model = write_student(tmp_path / "m", data)
    for token in (0, 2, -1):  # blank, which is not written, <space>, which is stripped, and <eos>
        add_bias(model, token, -1e4)
    out = export(model, tmp_path / "out", "--format", "sherpa-onnx")
    right = expected(model, data, "attention")
    assert [len(right[f"utt{n}"]) for n in range(4)] == [25, 8, 47, 5]  # frames of 40 ms
    assert heard(recognizer(out, "attention"), data) == right


@pytest.mark.needs("sherpa")
def test_the_lines_of_the_page_run_as_they_stand(student, data, tmp_path, monkeypatch, capfd):
    model, out = student
    blocks = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(out)
    soundfile.write(tmp_path / "a.wav", *soundfile.read(data / "utt2.wav"))
    read = blocks[0].replace("a.wav", str(tmp_path / "a.wav"))
    for slot, lines in (("attention", blocks[1]), ("ctc", blocks[2])):
        capfd.readouterr()
        exec(read + lines, {})
        printed = capfd.readouterr().out.strip()
        right = expected(model, data, slot)["utt2"]
        assert (printed == right) if slot == "attention" else printed.startswith(right + " [")


def test_what_the_files_say(student):
    """Metadata that the slots require; 18 tokens, of which sherpa-onnx has to know the blank for CTC."""
    _, out = student
    told = {path.name: {one.key: one.value for one in onnx.load(path).metadata_props} for path in out.glob("*.onnx")}
    assert told["ctc.onnx"]["model_type"] == "fire-red-asr-2-ctc" and told["ctc.onnx"]["subsampling_factor"] == "4"
    assert told["ctc.onnx"] == told["ctc.int8.onnx"] and told["encoder.onnx"] == told["encoder.int8.onnx"]
    for name in ("ctc.onnx", "encoder.onnx"):
        assert told[name]["cmvn_mean"].split(",") == ["0"] * 80
        assert told[name]["cmvn_inv_stddev"].split(",") == ["1"] * 80
    encoder = told["encoder.onnx"]
    assert (encoder["sos"], encoder["eos"]) == ("17", "17")
    assert int(encoder["max_len"]) * 0.04 >= 2 * 120 and encoder["num_decoder_layers"] == encoder["num_head"] == "1"
    lines = (out / "tokens.txt").read_text().splitlines()
    assert lines[0] == "<blk> 0" and lines[2] == "\u2581 2" and lines[3] == "a 3" and len(lines) == 18
    assert (out / "README.md").read_text().count("max_token_per_second") == 2


@pytest.mark.parametrize("kind", ["char", "bpe", "word"])
def test_tokens_put_together_are_the_text(kind):
    """sherpa-onnx writes tokens one after the other, and a blank for each mark."""
    tokens = ["<blank>", "<unk>", "<space>", "a", "\u2581", "\u2581bc", "d", "<sos/eos>"]
    spelling = {"kind": kind, "blank": 0, "silent": [0, 7], "space": "<space>"}
    ids = [5, 6, 3, 2, 3] if kind == "char" else [5, 6, 3, 5]
    for slot in ("ctc", "attention"):
        lines = [line.rsplit(" ", 1) for line in table(tokens, spelling, slot).splitlines()]
        names = {int(number): token for token, number in lines}
        assert len(names) == len(lines) and ("<blk>" in names.values()) == (7 in names) == (slot == "ctc")
        joined = "".join(names[i] for i in ids).replace("\u2581", " ").strip()
        text = Spelling(kind, tuple(tokens), frozenset((0, 7))).text(ids)
        assert joined == text.replace("\u2581", " ").strip() and " " in joined


@pytest.mark.parametrize("words, said", [
    (("--zip",), "leave --zip and --data out"),
    (("--data", "d"), "leave --zip and --data out"),
    (("--ctc_weight", "0.3"), "leave --ctc_weight out"),
    (("--out", "b.zip"), "writes a directory"),
])  # fmt: skip
def test_options_that_are_for_bundles(student, tmp_path, monkeypatch, words, said, capsys):
    monkeypatch.chdir(tmp_path)
    assert kdasr("export", "--model", student[0], "--out", "b", "--format", "sherpa-onnx", *words) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not list(tmp_path.iterdir())


def test_what_sherpa_cannot_run_is_refused(tmp_path, capsys):
    """Features of another size, and a decoder without a place where there is no CTC beside it."""
    cases = {
        "takes 24 bins of a fbank at 16000 Hz": ("kdasr", None, 24),
        "its decoder TransformerDecoder has no place": ("transformer", {"model_conf": {"ctc_weight": 0.0}}, BINS),
    }
    for n, (said, (config, changes, bins)) in enumerate(cases.items()):
        model = write_model(tmp_path / f"m{n}", config, changes=changes, bins=bins)
        assert kdasr("export", "--model", model, "--out", tmp_path / "out", "--format", "sherpa-onnx") == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_other_things_stay(student, tmp_path, capsys):
    model, out = student
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("x")
    assert kdasr("export", "--model", model, "--out", tmp_path / "d", "--format", "sherpa-onnx") == 1
    assert f"{tmp_path}/d: holds other things than files for sherpa-onnx" in capsys.readouterr().err
    assert (tmp_path / "d" / "thesis.txt").read_text() == "x"
    again = {path.name for path in out.iterdir()}
    export(model, out, "--format", "sherpa-onnx", "--int8")  # over its own
    assert {path.name for path in out.iterdir()} == again


def test_padding_changes_nothing(student):
    """Of a batch each utterance has what it has alone, whatever stands behind it."""
    import onnxruntime

    run = onnxruntime.InferenceSession(student[1] / "ctc.onnx").run
    random = np.random.default_rng(3)
    x = random.normal(0, 3, (3, 90, BINS)).astype(np.float32)
    lens = np.array([90, 31, 54])
    logp, counts = run(None, {"x": x, "x_lens": lens})
    assert counts.tolist() == [23, 8, 14]
    for row, length in enumerate(lens):
        alone, _ = run(None, {"x": x[row : row + 1, :length], "x_lens": lens[row : row + 1]})
        assert np.allclose(alone[0], logp[row, : counts[row]], atol=1e-5)
