"""The options of kdasr transcribe and kdasr export, as their modules read them."""

from pathlib import Path

import pytest
from commands import parse

from kdasr.errors import UserError
from kdasr.export.settings import Exporting
from kdasr.runtime.settings import Transcribing


def test_all_options_of_transcribe():
    _, args = parse("transcribe", "--model", "b", "a.wav", "d")
    given = Transcribing(**{**vars(args), "audio": tuple(args.audio)})
    assert given == Transcribing(model="b", audio=("a.wav", "d"))
    words = ["--data", "d", "--format", "srt", "--out", "o", "--precision", "int8", "--longest", "7.5"]
    words += ["--threads", "3", "--beam", "4", "--nbest", "3", "--ctc_weight", "0.2", "--penalty", "0.1"]
    words += ["--maxlenratio", "-9", "--minlenratio", "0.1", "--normalize_length"]
    _, args = parse("transcribe", "--model", "b", *words)
    assert Transcribing(**{**vars(args), "audio": ()}) == Transcribing(
        model="b", data="d", format="srt", out="o", precision="int8", longest=7.5, threads=3, beam=4, nbest=3,
        ctc_weight=0.2, penalty=0.1, maxlenratio=-9.0, minlenratio=0.1, normalize_length=True,
    )  # fmt: skip


@pytest.mark.parametrize("words", [(), ("--model", "b", "--format", "pdf"), ("--model", "b", "--precision", "int4")])
def test_what_the_parser_refuses(words):
    with pytest.raises(SystemExit):
        parse("transcribe", *words, "a.wav")


def test_all_options_of_export():
    _, args = parse("export", "--model", "m", "--out", "b")
    assert Exporting(**vars(args)) == Exporting(model=Path("m"), out=Path("b"))
    words = ["--model_file", "x.pth", "--example", "e"]
    words += ["--int8", "--zip", "--licence", "MIT", "--beam", "3", "--ctc_weight", "0.5"]
    _, args = parse("export", "--model", "m", "--out", "b", *words, "--data", "d", "--nlsyms", "n", "--wsj_filter")
    assert Exporting(**vars(args)) == Exporting(
        model=Path("m"), out=Path("b"), example=Path("e"), model_file="x.pth", int8=True, zip=True, licence="MIT",
        beam=3, ctc_weight=0.5, data=Path("d"), nlsyms=Path("n"), wsj_filter=True,
    )  # fmt: skip


def test_options_that_do_not_go_together():
    with pytest.raises(UserError, match="expected audio"):
        Transcribing(model="b", audio=("a",), data="d")
    with pytest.raises(UserError, match="is a zip already"):
        Exporting(model=Path("m"), out=Path("b.zip"), zip=True)
