"""kdasr translate: lines in, lines out; what cannot be read; what is not loaded for it."""

import io
import json
import subprocess
import sys

import pytest
from bundles import add_bias, export, kdasr
from bundles import write_model as write_recogniser
from mt_models import draw, write_data, write_model

import kdasr as library
from kdasr.errors import UserError
from kdasr.files import read_table
from kdasr.nbest.archive import read_nbest

SENTENCES = [source for source, _ in draw(9).values()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A translator, its bundle, a recogniser's, and what `kdasr decode` writes of SENTENCES: greedy and with beam 5."""
    root = tmp_path_factory.mktemp("place")
    add_bias(write_model(root / "m", "own_luong"), -1, -3.0)
    export(root / "m", root / "b.zip")
    export(write_recogniser(root / "recogniser"), root / "r.zip")
    write_data(root / "data", draw(9))
    for beam in (1, 5):
        given = ("--data", root / "data", "--out", root / f"beam{beam}", "--beam", beam)
        assert kdasr("decode", "--model", root / "m", *given) == 0
    return root


@pytest.fixture
def right(place):
    """The texts that kdasr decode writes with a beam of 5."""
    return list(read_table(place / "beam5/text", empty=True).values())


def translate(place, *words):
    return kdasr("translate", "--model", place / "b.zip", *words)


def write(path, lines, end="\n"):
    path.write_text("".join(f"{line}{end}" for line in lines), newline="")
    return path


def test_lines_stay_in_their_places(place, right, tmp_path, capsys):
    """Lines without words among them, of any white space and line ends; several files are one after the other."""
    assert len(set(right)) > 3
    first, second = SENTENCES[:4], SENTENCES[4:]
    one = write(tmp_path / "one", [*first[:2], "", *first[2:], " \u3000\t"], "\r\n")
    two = write(tmp_path / "two", ["\ufeff" + second[0], *second[1:]])
    assert translate(place, two, one) == 0
    expected = [*right[4:], *right[:2], "", *right[2:4], ""]
    assert capsys.readouterr().out.split("\n") == [*expected, ""]
    assert kdasr("translate", "--model", place / "m", one, "--beam", 1) == 0
    greedy = list(read_table(place / "beam1/text", empty=True).values())
    assert capsys.readouterr().out.split("\n") == [*greedy[:2], "", *greedy[2:4], "", ""]


def test_standard_input(place, right, monkeypatch, capsys):
    data = ("\ufeff" + "\n".join([*SENTENCES[:3], "", SENTENCES[3]])).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert translate(place, "-") == 0
    assert capsys.readouterr().out.split("\n") == [*right[:3], "", right[3], ""]


def test_json_has_the_n_best(place, right, tmp_path, capsys):
    given = ("--data", place / "data", "--out", tmp_path / "nbest", "--beam", 5, "--nbest", 4)
    assert kdasr("nbest", "--model", place / "m", *given) == 0
    records = {record["id"]: record["hyps"] for record in read_nbest(tmp_path / "nbest")}
    capsys.readouterr()
    assert translate(place, "--data", place / "data", "--format", "json", "--nbest", 4) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["utterance"] for row in rows] == list(draw(9)) and [row["source"] for row in rows] == SENTENCES
    assert [row["text"] for row in rows] == right
    for row in rows:
        hyps = records[row["utterance"]]
        assert [one["text"] for one in row["nbest"]] == [hyp["text"] for hyp in hyps]
        scores = [hyp["score"] for hyp in hyps]
        assert [one["score"] for one in row["nbest"]] == pytest.approx(scores, abs=1e-4) and len(hyps) > 1
    path = write(tmp_path / "t", [SENTENCES[0], ""])
    assert translate(place, path, "--format", "json") == 0
    one, empty = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one["line"] == f"{path}:1" and one["text"] == right[0] and len(one["nbest"]) == 1
    assert empty == {"line": f"{path}:2", "source": "", "text": "", "nbest": [{"text": "", "score": 0.0}]}


def test_what_cannot_be_read_is_named(place, tmp_path, monkeypatch, capsys):
    """Of files before anything is written; of standard input when it comes."""
    good, bad = write(tmp_path / "good", ["ab"]), tmp_path / "bad"
    bad.write_bytes(b"ab\n\ncd \xff\n")
    assert translate(place, good, bad) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"kdasr translate: {bad}:3: not UTF-8; convert the file (iconv -t utf-8)\n")
    assert translate(place, good, tmp_path / "none") == 1
    said = capsys.readouterr()
    assert said.out == "" and f"{tmp_path}/none: no such file; name a text, a sentence a line" in said.err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bad.read_bytes())))
    assert translate(place, "-") == 1
    said = capsys.readouterr()
    assert said.out.count("\n") == 2 and "standard input:3: not UTF-8; convert it" in said.err
    for words in ((), (good, "--data", place / "data")):
        assert translate(place, *words) == 1
        assert "expected text: name files (- for standard input), or a data directory" in capsys.readouterr().err
    assert translate(place, "-", good) == 1
    assert "-: is standard input, which is read alone" in capsys.readouterr().err
    assert translate(place, "--data", tmp_path) == 1
    assert f"{tmp_path}/text.src: no such file; kdasr translate reads source text" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["b.zip", "m"])
def test_a_sentence_that_does_not_fit_is_named(place, model, tmp_path, monkeypatch, capsys):
    """File and line, as of a transformer whose attention to 40,000 tokens would take 12 GB."""
    path = write(tmp_path / "long", ["ab", "ab" * 20])
    translator = library.Translator(place / model)
    network = translator.model.networks.encoder if model == "b.zip" else translator.model.encoder
    call = "run" if model == "b.zip" else "encode"
    real = getattr(network, call)

    def runs_out(*given):
        x = given[1]["x"] if model == "b.zip" else given[0][0]
        if len(x) > 20:
            raise RuntimeError("Failed to allocate memory: out of memory")
        return real(*given)

    monkeypatch.setattr(network, call, runs_out)
    monkeypatch.setattr("kdasr.runtime.translate.Translator", lambda *_, **__: translator)
    assert kdasr("translate", "--model", place / model, path) == 1
    said = capsys.readouterr()
    assert said.out.count("\n") == 1 and said.err.startswith(f"kdasr translate: {path}:2: {place / model}: ")
    assert "; give a shorter one" in said.err and said.err.count("\n") == 1


def test_what_is_no_sentence_is_named(place, tmp_path, capsys):
    """A text that nobody has cut: <sos> and 1,999 letters are the longest sentence."""
    text = write(tmp_path / "t", ["ab", "a" * 2000])
    assert translate(place, "--beam", 1, "--maxlenratio", -3, text) == 1
    assert f"{text}:2: has 2001 tokens, and a sentence has at most 2000; cut the" in capsys.readouterr().err
    assert translate(place, "--beam", 1, "--maxlenratio", -3, write(tmp_path / "t", ["a" * 1999])) == 0


@pytest.mark.parametrize("kind", ["bundle", "directory"])
def test_each_command_refuses_the_other_kind(place, kind, tmp_path, capsys):
    translator, recogniser = ("b.zip", "r.zip") if kind == "bundle" else ("m", "recogniser")
    write(tmp_path / "t", ["ab"])
    assert kdasr("transcribe", "--model", place / translator, tmp_path / "t") == 1
    said = capsys.readouterr().err
    assert said == (
        f"kdasr transcribe: {place / translator}: is a model that translates, and kdasr transcribe takes recognisers; "
        "use kdasr translate (kdasr.Translator)\n"
    )
    assert kdasr("translate", "--model", place / recogniser, tmp_path / "t") == 1
    assert "is a recogniser, and kdasr translate takes models that translate; use kdasr transcribe" in (
        capsys.readouterr().err
    )
    with pytest.raises(UserError, match="use kdasr translate"):
        library.Recognizer(place / translator)
    with pytest.raises(UserError, match="use kdasr transcribe"):
        library.Translator(place / recogniser)


@pytest.mark.parametrize("given, said", [
    ({"threads": 0}, "--threads 0: expected 1 thread or more"),
    ({"beam": 0}, "--beam 0"),
    ({"precision": "int4"}, "--precision int4: expected fp32 or int8"),
    ({"precision": "int8"}, "has no int8 \\(it has fp32\\)"),
])  # fmt: skip
def test_options_that_cannot_be(place, given, said):
    with pytest.raises(UserError, match=said):
        library.Translator(place / "b.zip", **given)


def test_neither_torch_nor_what_reads_audio_is_imported(place, right, tmp_path):
    """Of character tokens not even sentencepiece."""
    training = {"torch", "espnet2", "espnet", "yaml", "scipy", "kaldiio", "onnx", "av"}
    heavy = training | {"soxr", "soundfile", "sentencepiece"}
    write(tmp_path / "t", SENTENCES[:2])
    code = (
        "import sys; from kdasr.cli import main\n"
        f"assert main(['translate', '--model', '{place}/b.zip', '{tmp_path}/t']) == 0\n"
        "import kdasr; kdasr.Translator\n"
        f"print(sorted(sys.modules.keys() & {heavy!r}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == [*right[:2], "[]"]
