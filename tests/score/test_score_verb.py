import json
import random

import jiwer
import pytest

from kdasr import __version__
from kdasr.cli import main
from kdasr.score import sclite

REF = "s1-a THE CAT SAT <NOISE>\ns1-b *ON* THE :MAT\ns2-c OH\n"
HYP = "s1-a the BAT SAT DOWN\ns1-b ON MAT\ns2-c\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ref").write_text(REF)
    (tmp_path / "hyp").write_text(HYP)
    (tmp_path / "utt2spk").write_text("s1-a s1\ns1-b s1\ns2-c s2\ns2-d s2\n")
    (tmp_path / "nlsyms").write_text("<NOISE>\n")
    return tmp_path


def score(files, *options):
    names = [f"--{name}={files / file}" for name, file in (("ref", "ref"), ("hyp", "hyp"), ("utt2spk", "utt2spk"))]
    return main(["score", *names, "--dir", str(files / "out"), *options])


def test_words_with_wsjs_filter(files, capsys):
    assert score(files, "--wsj_filter") == 0
    out = files / "out"
    kaldi = (
        "%WER 57.14 [ 4 / 7, 1 ins, 2 del, 1 sub ]\n%SER 100.00 [ 3 / 3 ]\nScored 3 sentences, 0 not present in hyp.\n"
    )
    assert (out / "wer").read_text() == kaldi
    assert capsys.readouterr().out.startswith(kaldi)
    assert (out / "ref.trn").read_text() == "THE CAT SAT (s1-s1-a)\nON THE MAT (s1-s1-b)\nOH (s2-s2-c)\n"
    assert (out / "hyp.trn").read_text() == "the BAT SAT DOWN (s1-s1-a)\nON MAT (s1-s1-b)\n(s2-s2-c)\n"
    assert (out / "per_utt").read_text().splitlines()[:4] == [
        "s1-a ref  THE  CAT  SAT   ***",
        "s1-a hyp  the  BAT  SAT  DOWN",
        "s1-a op    C    S    C     I ",
        "s1-a #csid 2 1 1 0",
    ]
    result = json.loads((out / "score.json").read_text())
    assert result["counts"] == {
        "sentences": 3,
        "wrong_sentences": 3,
        "speakers": 2,
        "words": 7,
        "cor": 4,
        "sub": 1,
        "del": 2,
        "ins": 1,
        "errors": 4,
    }
    assert result["type"] == "wer" and result["wer"] == 57.1429 and result["jiwer"] == 57.1429
    assert result["interval95"][0] <= 57.1429 <= result["interval95"][1]
    assert result["signature"] == f"costs:433|case:lc|nlsyms:keep|filter:wsj|tok:word|kdasr:{__version__}"
    reports = [(out / f"hyp.trn.{name}").read_bytes() for name in ("sys", "raw", "pra")]
    assert (out / "result.txt").read_bytes() == b"".join(reports)


def test_characters_without_symbols(files):
    assert score(files, "--type", "cer", "--nlsyms", str(files / "nlsyms"), "--case_sensitive") == 0
    assert (files / "out/ref.trn").read_text().splitlines()[0] == "T H E <space> C A T <space> S A T <space> (s1-s1-a)"
    result = json.loads((files / "out/score.json").read_text())
    assert result["signature"] == f"costs:433|case:cs|nlsyms:rm|filter:none|tok:char|kdasr:{__version__}"
    expected = jiwer.process_characters(
        ["THE CAT SAT ", "*ON* THE :MAT", "OH"],
        ["the BAT SAT DOWN", "ON MAT", ""],
        jiwer.Compose([jiwer.ReduceToListOfListOfChars()]),
        jiwer.Compose([jiwer.ReduceToListOfListOfChars()]),
    )
    assert result["jiwer"] == pytest.approx(100 * expected.cer, abs=1e-4)
    assert result["counts"]["words"] == 27


@pytest.mark.skipif(sclite.find() is None, reason="no sclite here (Debian: apt-get install sctk)")
@pytest.mark.parametrize("kind", ["wer", "cer"])
def test_check_passes_on_a_realistic_set(files, kind, capsys):
    generator = random.Random(7)
    words = ["THE", "MARKET", "OF", "STOCKS", "AND", "BONDS", "ROSE", "FELL", "BY", "THREE", "PERCENT"]
    tables = {"ref": [], "hyp": [], "utt2spk": []}
    for number in range(100):
        name = f"{440 + number % 7}c{number:03d}"
        ref = [generator.choice(words) for _ in range(generator.randint(4, 20))]
        tables["ref"].append(f"{name} {' '.join(ref)}")
        tables["hyp"].append(f"{name} {' '.join(w for w in ref if generator.random() > 0.1)}")
        tables["utt2spk"].append(f"{name} {name[:3]}")
    for name, lines in tables.items():
        (files / name).write_text("\n".join(lines) + "\n")
    assert score(files, "--check", "--type", kind) == 0
    assert "equal to" in capsys.readouterr().err


def test_check_fails_on_any_difference(files, monkeypatch, capsys):
    program = files / "sclite"
    program.write_text("#!/bin/sh\necho something else\n")
    program.chmod(0o755)
    monkeypatch.setenv("SCLITE", str(program))
    assert score(files, "--check") == 1
    assert "differs from" in capsys.readouterr().err
    assert not (files / "out/score.json").exists()


@pytest.mark.parametrize(
    ("hyp", "message"),
    [
        ("s1-a x\ns2-c y\n", "hyp: lacks 1 of the 3 utterances of"),
        ("s1-a x\ns2-c y\ns1-b a;b\n", "hyp:3: s1-b: sclite reads ';' in 'a;b'"),
        ("s1-a x\ns1-a y\n", "hyp:2: s1-a stands here a second time"),
        ("", "hyp: is empty"),
    ],
)
def test_wrong_hypotheses_are_refused_and_leave_nothing(files, hyp, message, capsys):
    (files / "hyp").write_text(hyp)
    assert score(files) == 1
    assert message in capsys.readouterr().err
    assert not (files / "out").exists()


def test_a_failed_run_takes_the_old_verdict_away(files, monkeypatch):
    assert score(files) == 0
    (files / "keep").write_text("")
    monkeypatch.setattr("kdasr.score.verb.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score(files)
    assert not (files / "out/score.json").exists()


def test_nothing_left_to_score_is_said(files, capsys):
    (files / "ref").write_text("s1-a <NOISE>\ns1-b <NOISE>\ns2-c <UNK>\n")
    assert score(files, "--wsj_filter") == 1
    assert "no words are left to score" in capsys.readouterr().err
