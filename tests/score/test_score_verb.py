import json
import random
import shlex
import shutil
from dataclasses import fields, replace

import jiwer
import pytest

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.score import sclite
from kdasr.score.against import against, told
from kdasr.score.intervals import interval
from kdasr.score.rules import Rules

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
    assert result["signature"] == "costs:433|case:lc|nlsyms:keep|filter:wsj|tok:word|kdasr:0.1.0"
    reports = [(out / f"hyp.trn.{name}").read_bytes() for name in ("sys", "raw", "pra")]
    assert (out / "result.txt").read_bytes() == b"".join(reports)


def test_characters_without_symbols(files):
    assert score(files, "--type", "cer", "--nlsyms", str(files / "nlsyms"), "--case_sensitive") == 0
    assert (files / "out/ref.trn").read_text().splitlines()[0] == "T H E <space> C A T <space> S A T <space> (s1-s1-a)"
    result = json.loads((files / "out/score.json").read_text())
    assert result["signature"] == "costs:433|case:cs|nlsyms:rm|filter:none|tok:char|kdasr:0.1.0"
    expected = jiwer.process_characters(
        ["THE CAT SAT ", "*ON* THE :MAT", "OH"],
        ["the BAT SAT DOWN", "ON MAT", ""],
        jiwer.Compose([jiwer.ReduceToListOfListOfChars()]),
        jiwer.Compose([jiwer.ReduceToListOfListOfChars()]),
    )
    assert result["jiwer"] == pytest.approx(100 * expected.cer, abs=1e-4)
    assert result["counts"]["words"] == 27


@pytest.mark.needs("sclite")
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
    program.write_text('#!/bin/bash\nfor x in sys raw pra dtl sgml; do echo other >"${@: -1}/hyp.trn.$x"; done\n')
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
        ("s1-a x\ns1-a y\n", "hyp:2: s1-a is here a second time"),
        ("", "hyp: is empty"),
    ],
)
def test_wrong_hypotheses_are_refused_and_leave_nothing(files, hyp, message, capsys):
    (files / "hyp").write_text(hyp)
    assert score(files) == 1
    assert message in capsys.readouterr().err
    assert not (files / "out").exists()


@pytest.mark.parametrize("name", ["ref", "hyp", "utt2spk", "nlsyms", "repairs"])
def test_files_that_are_none_are_named(files, name, capsys):
    (files / "repairs").write_text("BAT CAT\n")
    options = ["--nlsyms", f"{files}/nlsyms", "--repairs", f"{files}/repairs"]
    whole = (files / name).read_bytes()
    for data, said in ((whole + b"\0\n", "holds a NUL byte"), (whole + b"\xff\n", "not UTF-8")):
        (files / name).write_bytes(data)
        assert score(files, *options) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"kdasr score: {files}/{name}:") and said in line
    (files / name).unlink()
    assert score(files, *options) == 1
    assert f"{files}/{name}: no such file" in capsys.readouterr().err
    (files / name).mkdir()
    assert score(files, *options) == 1
    assert f"{files}/{name}: is a directory" in capsys.readouterr().err
    assert not (files / "out").exists()


def test_results_that_cannot_be_written_are_said(files, capsys):
    (files / "out").write_text("")
    assert score(files) == 1
    assert f"kdasr score: {files}/out: file exists; this is a file, expected a directory" in capsys.readouterr().err


def test_optional_words_alone_have_a_rate(files):
    (files / "ref.trn").write_text("(s-1)\n")
    (files / "hyp.trn").write_text("(uh) (s-1)\n")
    words = ["--ref", f"{files}/ref.trn", "--hyp", f"{files}/hyp.trn", "--dir", f"{files}/out", "--optional"]
    assert main(["score", *words, *(["--check"] if sclite.find() else [])]) == 0
    result = json.loads((files / "out/score.json").read_text())
    assert (result["counts"]["words"], result["wer"], result["jiwer"]) == (1, 0.0, 0.0)


def test_a_failed_run_takes_the_old_verdict_away(files, monkeypatch):
    assert score(files) == 0
    (files / "keep").write_text("")
    monkeypatch.setattr("kdasr.score.score.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score(files)
    assert not (files / "out/score.json").exists()


def test_nothing_left_to_score_is_said(files, capsys):
    (files / "ref").write_text("s1-a <NOISE>\ns1-b <NOISE>\ns2-c <UNK>\n")
    assert score(files, "--wsj_filter") == 1
    assert "no words are left to score" in capsys.readouterr().err


def test_words_where_nothing_was_said_are_inserted(files, capsys):
    (files / "ref").write_text("s1-a \ns1-b A B\ns2-c\n")
    (files / "hyp").write_text("s1-a uh\ns1-b A\ns2-c well yes\n")
    check = ["--check"] if sclite.find() else []
    assert score(files, *check) == 0
    assert capsys.readouterr().out.startswith("%WER 200.00 [ 4 / 2, 3 ins, 1 del, 0 sub ]\n%SER 100.00 [ 3 / 3 ]\n")
    # sclite gives counts, marked, where there is nothing to give percentages of
    row = next(
        line for line in (files / "out/hyp.trn.sys").read_text().splitlines() if line.lstrip().startswith("| s2")
    )
    assert row.split("|")[3].split() == ["0*", "0*", "0*", "2*", "2*", "100.0"]
    assert "s2-c #csid 0 0 2 0" in (files / "out/per_utt").read_text()
    assert score(files, "--chars", *check) == 0
    assert json.loads((files / "out/score.json").read_text())["counts"]["ins"] == 9
    (files / "out").rename(files / "other")
    (files / "hyp").write_text("s1-a\ns1-b A\ns2-c\n")
    assert score(files, "--chars", "--against", f"{files}/other") == 0
    assert "difference -450.00 points" in capsys.readouterr().out


def test_no_word_at_all_has_no_rate(files, capsys):
    (files / "ref").write_text("s1-a\ns1-b\ns2-c\n")
    assert score(files) == 1
    assert capsys.readouterr().err.endswith(
        "ref: no utterance has a word, and there is no rate of none; name other references\n"
    )
    assert not (files / "out").exists()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("blank", [" ", "\t", " \v\t", "\f"])
def test_marks_line_ends_and_blanks_are_no_part_of_a_word_or_id(files, end, blank):
    assert score(files, "--nlsyms", f"{files}/nlsyms") == 0
    (files / "repairs").write_text("BAT CAT\n")
    plain = {
        path.name: path.read_bytes() for path in (files / "out").iterdir() if path.suffix not in (".json", ".sgml")
    }
    for name in ("ref", "hyp", "utt2spk", "nlsyms", "repairs"):
        text = (files / name).read_text().replace(" ", blank).replace("\n", f"{blank}{end}")
        (files / name).write_bytes(("\ufeff" + text).encode())
    check = ["--check"] if sclite.find() else []
    assert score(files, "--nlsyms", f"{files}/nlsyms", *check) == 0
    assert {name: (files / "out" / name).read_bytes() for name in plain} == plain
    assert score(files, "--nlsyms", f"{files}/nlsyms", "--repairs", f"{files}/repairs") == 0
    assert (files / "out/hyp.trn").read_text().startswith("the CAT SAT DOWN (")


def test_two_symbols_on_a_line_are_refused(files, capsys):
    (files / "nlsyms").write_text("<NOISE>\n\n<a>\t<b>\n")
    assert score(files, "--nlsyms", f"{files}/nlsyms") == 1
    assert "nlsyms:3: expected one symbol, found '<a>\\t<b>'; put each on its own line" in capsys.readouterr().err


@pytest.mark.needs("sclite")
@pytest.mark.parametrize("options", [[], ["--chars"]])
def test_case_is_that_of_ascii_letters_alone_as_for_sclite(files, options):
    (files / "ref").write_text("s1-a É Z\ns1-b Ω ſ K\ns2-c I\n")  # ſ and the Kelvin sign have s and k for Python
    (files / "hyp").write_text("s1-a é z\ns1-b ω S k\ns2-c i\n")
    assert score(files, "--check", *options) == 0
    counts = json.loads((files / "out/score.json").read_text())["counts"]
    assert (counts["cor"], counts["sub"]) == (2, 4)
    assert score(files, "--check", "--case_sensitive", *options) == 0
    assert json.loads((files / "out/score.json").read_text())["counts"]["sub"] == 6


TRN = {
    "ref.trn": "the { okay / ok } cat (4k1-a)\n;; a comment\nsat (uh) down (4k1-b)\na wor- here (4k2-c)\n",
    "hyp.trn": "a word here (4k2-c)\nthe ok bat (4k1-a)\nsat down (4k1-b)\n",
}


def score_trn(files, *options):
    for name, text in TRN.items():
        (files / name).write_text(text)
    return main(["score", "--ref", f"{files}/ref.trn", "--hyp", f"{files}/hyp.trn", "--dir", f"{files}/out", *options])


@pytest.mark.needs("sclite")
@pytest.mark.parametrize(
    ("options", "errors", "words"),
    [([], 3, 9), (["--optional", "--fragments"], 1, 9), (["--id-form", "wsj"], 3, 9), (["--chars"], 6, 28),
     (["--case_sensitive", "--id_form", "spu_id"], 3, 9)],
)  # fmt: skip
def test_trn_files_are_scored_as_sclite_does(files, options, errors, words, capsys):
    assert score_trn(files, "--check", *options) == 0
    assert "equal to" in capsys.readouterr().err
    result = json.loads((files / "out/score.json").read_text())
    assert (result["counts"]["errors"], result["counts"]["words"]) == (errors, words)
    assert result["type"] == ("cer" if "--chars" in options else "wer")
    assert {path.name for path in (files / "out").iterdir()} >= {
        *(f"hyp.trn.{kind}" for kind in ("sys", "raw", "pra", "dtl", "sgml")),
        *("result.txt", "per_utt", "per_spk", result["type"]),
    }


@pytest.mark.needs("sclite")
def test_segments_in_time_are_scored_as_sclite_does(files, capsys):
    (files / "r.stm").write_text("f 1 ann 0.0 2.0 <O,F> the cat sat\nf 1 bob 2.0 4.0 <O,M> on the mat\n")
    words = ["the", "bat", "sat", "on", "the", "mat"]
    (files / "h.ctm").write_text("".join(f"f 1 {0.6 * k:.2f} 0.5 {word} 0.9\n" for k, word in enumerate(words)))
    command = ["score", "--ref", f"{files}/r.stm", "--hyp", f"{files}/h.ctm", "--dir", f"{files}/out", "--check"]
    assert main(command) == 0
    assert "equal to" in capsys.readouterr().err
    assert "ann-000 #csid" in (files / "out/per_utt").read_text()
    assert main([*command, "--chars"]) == 0
    assert "equal to" in capsys.readouterr().err
    assert "# Chr" in (files / "out/result.txt").read_text()


def test_files_of_unlike_kinds_and_options_that_do_not_go_together_are_refused(files, capsys):
    (files / "hyp.trn").write_text("a (s-1)\n")
    for words, said in (
        (["--hyp", f"{files}/hyp.trn"], "expected two trn files (.trn), an .stm with a .ctm, or two Kaldi texts"),
        (["--chars", "--type", "cer"], "are two ways to count characters"),
        (["--repairs", f"{files}/ref"], "ref:1: expected 'WRONG RIGHT'"),
    ):
        assert score(files, *words) == 1
        assert said in capsys.readouterr().err
    assert score_trn(files, "--utt2spk", f"{files}/utt2spk") == 1
    assert "is for Kaldi texts" in capsys.readouterr().err
    assert score_trn(files, "--wsj_filter") == 1
    assert "(4k1-a) has alternatives, which filters do not reach" in capsys.readouterr().err
    words = ["--ref", f"{files}/ref", "--hyp", f"{files}/hyp", "--dir", f"{files}/out"]
    assert main(["score", *words]) == 1
    assert "--utt2spk: needed for Kaldi texts" in capsys.readouterr().err
    assert not (files / "out").exists()
    assert main(["score", *words, "--id_form", "wsj"]) == 0


def test_repairs_rewrite_the_hypothesis_and_are_in_the_signature(files):
    (files / "repairs").write_text("BAT CAT\nthe THE\n")
    assert score(files, "--repairs", f"{files}/repairs") == 0
    result = json.loads((files / "out/score.json").read_text())
    assert "|filter:repairs2|" in result["signature"]
    assert (files / "out/hyp.trn").read_text().startswith("THE CAT SAT DOWN (")


def test_against_another_system(files, capsys):
    """Twelve utterances of three words: the other system has one error in each, this one has one in two of them."""
    names = [f"s{k % 3}-{k:02d}" for k in range(12)]
    (files / "ref").write_text("".join(f"{name} A B C\n" for name in names))
    (files / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in names))
    (files / "hyp").write_text("".join(f"{name} A X C\n" for name in names))
    assert score(files) == 0
    (files / "out").rename(files / "other")
    (files / "hyp").write_text("".join(f"{name} A {'X' if k < 2 else 'B'} C\n" for k, name in enumerate(names)))
    assert score(files, "--against", f"{files}/other") == 0
    said = capsys.readouterr().out
    assert f"against {files}/other: WER 5.56 here, 33.33 there" in said
    assert "difference -27.78 points" in said and "12 segments, -0.833 errors a segment" in said
    assert "significantly fewer errors at the 5 % level" in said
    # Z is -1 ten times and 0 twice: sd = sqrt((10 * (1/6)^2 + 2 * (5/6)^2) / 11) = 0.3892, W = -0.8333 / (sd / sqrt 12)
    compared = json.loads((files / "out/against.json").read_text())["compared"][0]
    assert compared["matched"]["z"] == pytest.approx(-7.4162, abs=1e-3)
    assert score(files, "--against", f"{files}/none") == 1
    assert "none: holds no finished score" in capsys.readouterr().err
    assert score(files, "--case_sensitive", "--against", f"{files}/other") == 1
    assert "was scored by other rules" in capsys.readouterr().err


LINES = ["s1-a a b c d e\n", "s1-b f G h i j k l\n", "s2-c m n o\n", "s2-d p\n"]


def test_rates_interval_and_signature_stand_in_the_file_and_are_printed(files, capsys):
    """Four utterances, one of them wrong: sclite's costs make 6 errors of it, the least number is 5; 16 words."""
    (files / "ref").write_text("".join(LINES))
    (files / "hyp").write_text("".join(["s1-a d e x y z\n", "s1-b F g h i j k l\n", *LINES[2:]]))
    assert score(files) == 0
    result = json.loads((files / "out/score.json").read_text())
    low, high = interval([6, 0, 0, 0], [5, 7, 3, 1])
    assert low < high
    assert (result["wer"], result["ser"], result["jiwer"]) == (37.5, 25.0, 31.25)
    assert result["interval95"] == [round(low, 4), round(high, 4)]
    assert (result["counts"]["sentences"], result["counts"]["speakers"]) == (4, 2)
    assert capsys.readouterr().out.splitlines()[3:] == [
        f"95 % interval {low:.2f} to {high:.2f}, bootstrap over utterances",
        "Levenshtein (jiwer) 31.25",
        result["signature"],
    ]
    assert score(files, "--case_sensitive") == 0
    result = json.loads((files / "out/score.json").read_text())
    assert (result["wer"], result["ser"], result["jiwer"]) == (50.0, 50.0, 43.75)  # F and g are wrong, too


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--wsj_filter", "--case_sensitive"],
        ["--type", "cer", "--nlsyms", "nlsyms"],
        ["--chars"],
        ["--repairs", "repairs", "--optional", "--fragments", "--id-form", "spu_id"],
    ],
)
def test_the_recorded_command_makes_the_same_score_again(files, options, monkeypatch):
    monkeypatch.chdir(files)
    (files / "repairs").write_text("BAT CAT\n")
    assert score(files, *options) == 0
    made = {path.name: path.read_bytes() for path in (files / "out").iterdir() if path.suffix != ".sgml"}
    shutil.rmtree(files / "out")
    program, *words = shlex.split(json.loads(made["score.json"])["command"])
    assert program == "kdasr" and main(words) == 0
    assert {path.name: path.read_bytes() for path in (files / "out").iterdir() if path.suffix != ".sgml"} == made


@pytest.mark.parametrize(
    "options",
    [["--wsj_filter"], ["--nlsyms", "nlsyms"], ["--repairs", "repairs"], ["--repairs", "repairs", "--wsj_filter"], []],
)
def test_filters_do_to_trn_files_what_they_do_to_texts(files, options, monkeypatch):
    """Repairs are of the hypothesis alone, and come before the filter."""
    monkeypatch.chdir(files)
    # what is repaired is the word as it was recognised: *S:AT, not SAT, which the filter makes of it
    (files / "repairs").write_text("BAT CAT\nSAT SET\nMAT :M*AT\nTHE WRONG\nWHAT <NOISE>\n*S:AT SAT\n")
    (files / "hyp").write_text(HYP.replace("DOWN", "WHAT").replace("SAT", "*S:AT").replace("ON", "O*N"))
    found = []
    for ending in ("", ".trn"):
        for name, text in (("ref", REF), ("hyp", (files / "hyp").read_text())):
            lines = (line.partition(" ")[::2] for line in text.splitlines())
            (files / f"{name}.trn").write_text("".join(f"{words} ({key[:2]}-{key})\n" for key, words in lines))
        words = ["--ref", f"ref{ending}", "--hyp", f"hyp{ending}", *([] if ending else ["--utt2spk", "utt2spk"])]
        assert main(["score", *words, "--dir", f"out{ending}", *options]) == 0
        result = json.loads((files / f"out{ending}/score.json").read_text())
        found.append([result["counts"], result["signature"], (files / f"out{ending}/hyp.trn.pra").read_bytes()])
    assert found[0] == found[1]
    hyp, ref = ((files / f"out/{name}.trn").read_text() for name in ("hyp", "ref"))
    assert ref.startswith("THE CAT SAT")
    if options != ["--repairs", "repairs", "--wsj_filter"]:
        second = "CAT SAT" if "repairs" in options else "BAT SAT" if options == ["--wsj_filter"] else "BAT *S:AT"
        assert hyp.startswith(f"the {second}")
    else:
        assert hyp.splitlines()[:2] == ["the CAT SAT (s1-s1-a)", "ON MAT (s1-s1-b)"]


def test_each_rule_that_may_change_a_rate_is_in_the_signature():
    other = {"type": "cer", "nlsyms": frozenset({"<N>"}), "repairs": {"a": "b"}}
    changed = {one.name: replace(Rules(), **{one.name: other.get(one.name, True)}) for one in fields(Rules)}
    assert set(changed) >= {"chars", "wsj_filter", "case_sensitive", "optional", "fragments", "id_form", *other}
    unlike = [Rules(), *(rules for name, rules in changed.items() if name != "id_form")]
    assert len({rules.signature for rules in unlike}) == len(unlike)
    assert replace(Rules(), id_form="wsj").signature == Rules().signature
    assert replace(Rules(), repairs={"a": "b", "c": "d"}).signature != changed["repairs"].signature
    every = replace(Rules(), **{name: getattr(rules, name) for name, rules in changed.items() if name != "id_form"})
    assert "|nlsyms:rm|filter:wsj+repairs1+optional+fragments|" in every.signature
    names = {name: rules.name for name, rules in changed.items() if rules.name == "cer"}
    assert set(names) == {"type", "chars"}
    words = {name for name, rules in changed.items() if rules.changes_words}
    assert words == {"type", "nlsyms", "wsj_filter", "repairs"}


def compared(**changes):
    """What `against` gives, of two systems that are alike but for changes such as matched_p=0.01."""
    result = {"against": "x", "type": "wer", "rate": [10.0, 10.0]}
    result["bootstrap"] = {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    result["matched"] = {"segments": 3, "mean": 0.0, "z": 0.0, "p": 1.0}
    for name, value in changes.items():
        part, _, key = name.partition("_")
        result[part][key] = value
    return told(result).splitlines()


@pytest.mark.parametrize(
    ("p", "mean", "verdict"),
    [
        (1.0, 0.0, "no significant difference"),
        (0.05, -1.0, "no significant difference"),
        (0.0499, -1.0, "significantly fewer errors"),
        (0.0499, 1.0, "significantly more errors"),
        (0.0, 0.25, "significantly more errors"),
    ],
)
def test_the_verdict_is_that_of_the_matched_pairs(p, mean, verdict):
    for other in (0.0, 1.0):
        line = compared(matched_p=p, matched_mean=mean, bootstrap_p=other, bootstrap_difference=-mean)[2]
        assert line.endswith(f": {verdict} at the 5 % level") and f" {mean:+.3f} errors a segment" in line


@pytest.mark.parametrize(("p", "text"), [(0.0, "< 0.0005"), (0.00049, "< 0.0005"), (0.0005, "0.001"), (0.04, "0.040")])
def test_small_p_is_told_as_an_upper_end(p, text):
    assert f", p {text} (paired" in compared(bootstrap_p=p)[1]
    assert f", p {text}: " in compared(matched_p=p)[2]


def rewritten(path, change):
    """A copy of a score directory whose per_utt is changed, by utterance."""
    copy = path.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy)
    lines = (path / "per_utt").read_text().splitlines(keepends=True)
    (copy / "per_utt").write_text("".join(change(["".join(lines[k : k + 4]) for k in range(0, len(lines), 4)])))
    return copy


def test_systems_are_compared_utterance_by_utterance_by_name(files):
    (files / "ref").write_text("".join(LINES))
    (files / "hyp").write_text("s1-a a b c d e\ns1-b f g h x x k l\ns2-c m n o\ns2-d x\n")
    assert score(files) == 0
    ours = (files / "out").rename(files / "ours")
    (files / "hyp").write_text("s1-a d e x y z\ns1-b f g h i j k l\ns2-c m n x\ns2-d p\n")
    assert score(files) == 0
    found = against(ours, files / "out")
    assert found["rate"] == [18.75, 43.75] and found["bootstrap"]["difference"] == -25.0
    assert found["matched"]["errors"] == (3, 7)
    turned = rewritten(files / "out", lambda utterances: utterances[::-1])
    assert {**against(ours, turned), "against": ""} == {**found, "against": ""}
    back = against(files / "out", ours)
    assert (back["rate"], back["bootstrap"]["difference"]) == ([43.75, 18.75], 25.0)
    assert back["bootstrap"]["p"] == pytest.approx(found["bootstrap"]["p"])
    assert (back["matched"]["z"], back["matched"]["p"]) == (-found["matched"]["z"], found["matched"]["p"])


def test_other_utterances_or_references_are_not_compared(files):
    (files / "ref").write_text("".join(LINES))
    (files / "hyp").write_text("".join(LINES))
    assert score(files) == 0
    whole = files / "out"
    lacking = rewritten(whole, lambda utterances: utterances[:2] + utterances[3:])
    for pair in ((whole, lacking), (lacking, whole)):
        with pytest.raises(UserError, match="copy/per_utt: lacks utterance s2-c; only scores of one set"):
            against(*pair)
    other = rewritten(whole, lambda utterances: [*utterances[:3], "s2-d op C C\ns2-d #csid 2 0 0 0\n"])
    with pytest.raises(UserError, match=r"copy/per_utt: s2-d has 2 reference words, 1 in .*one reference"):
        against(whole, other)


def test_each_other_system_is_compared_and_no_old_comparison_stays(files, capsys):
    for name in ("one", "two"):
        assert score(files) == 0
        (files / "out").rename(files / name)
    assert score(files, "--against", f"{files}/one", "--against", f"{files}/two") == 0
    said = capsys.readouterr().out
    found = json.loads((files / "out/against.json").read_text())["compared"]
    assert [one["against"] for one in found] == [f"{files}/one", f"{files}/two"]
    assert said.index(f"against {files}/one: ") < said.index(f"against {files}/two: ")
    assert said.count("no significant difference") == 2  # from itself
    assert score(files) == 0
    assert not (files / "out/against.json").exists()  # it would be that of another score


def test_what_does_not_go_with_a_kind_of_file_is_refused(files, capsys):
    (files / "r.stm").write_text("f 1 ann 0.0 2.0 the cat\n")
    (files / "h.ctm").write_text("f 1 0.0 0.5 the\n")
    (files / "r.trn").write_text("the cat (a-1)\n")
    (files / "h.trn").write_text("the (a-1)\n")
    (files / "repairs").write_text("BAT CAT\n")
    kinds = {"trn": ("r.trn", "h.trn"), "stm": ("r.stm", "h.ctm")}
    alike = "expected two trn files (.trn), an .stm with a .ctm, or two Kaldi texts"
    for ref, hyp, options, said in (
        (*kinds["trn"], ["--type", "cer"], ".trn files take --chars for characters"),
        (*kinds["stm"], ["--type", "cer"], ".stm files take --chars for characters"),
        (*kinds["stm"], ["--wsj_filter"], "segments take no filters"),
        (*kinds["stm"], ["--nlsyms", f"{files}/nlsyms"], "segments take no filters"),
        (*kinds["stm"], ["--repairs", f"{files}/repairs"], "segments take no filters"),
        (*kinds["stm"], ["--utt2spk", f"{files}/utt2spk"], "is for Kaldi texts; leave it out with .stm files"),
        ("r.trn", "h.ctm", [], alike), ("r.stm", "h.trn", [], alike), ("ref", "h.ctm", [], alike),
        ("r.stm", "hyp", [], alike), ("h.ctm", "r.stm", [], alike),
    ):  # fmt: skip
        assert (
            main(["score", "--ref", f"{files}/{ref}", "--hyp", f"{files}/{hyp}", "--dir", f"{files}/o", *options]) == 1
        )
        assert said in capsys.readouterr().err
    assert not (files / "o").exists()
    for name, (ref, hyp) in kinds.items():
        out = files / name
        assert main(["score", "--ref", f"{files}/{ref}", "--hyp", f"{files}/{hyp}", "--dir", str(out)]) == 0
        assert (out / "hyp.trn.sgml").exists() == (name == "trn")  # of segments it would tell more than is known
        assert (out / "per_utt").read_text().startswith({"trn": "a-1 ref", "stm": "ann-000 ref"}[name])


def test_a_word_is_repaired_into_one(files, capsys):
    for text, line in (("a b\na c\n", 2), ("a b\nc\n", 2), ("a b c\n", 1), ("\n", 1)):
        (files / "repairs").write_text(text)
        assert score(files, "--repairs", f"{files}/repairs") == 1
        assert f"repairs:{line}: expected 'WRONG RIGHT', each word once" in capsys.readouterr().err


def test_a_difference_from_sclite_is_told_by_its_first_line(files, monkeypatch, capsys):
    """An sclite whose .raw differs in the fifth line from what this one has written."""
    assert score(files) == 0
    lines = (files / "out/hyp.trn.raw").read_bytes().split(b"\n")
    theirs = b"\n".join([*lines[:4], b"OTHER", *lines[5:]])
    for name in ("sys", "raw", "pra", "dtl", "sgml"):
        text = theirs if name == "raw" else (files / f"out/hyp.trn.{name}").read_bytes()
        (files / f"real.{name}").write_bytes(text)
    program = files / "sclite"
    program.write_text(
        f'#!/bin/bash\nfor x in sys raw pra dtl sgml; do cp {files}/real.$x "${{@: -1}}/hyp.trn.$x"; done\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("SCLITE", str(program))
    assert score(files, "--check") == 1
    said = f"out/hyp.trn.raw:5: differs from {program} (sclite b'OTHER', kdasr {lines[4]!r}); please report it"
    assert said in capsys.readouterr().err
    (files / "real.raw").write_bytes(b"\n".join(lines))
    assert score(files, "--check") == 0
    assert f"out: equal to {program} (sys raw pra dtl sgml)" in capsys.readouterr().err


def test_reports_that_long_words_damage_are_not_asked_of_sclite(files, monkeypatch, capsys):
    for name in ("ref", "hyp"):
        (files / name).write_text(f"s1-a {'w' * 1000} a\ns1-b b\n")
    assert score(files) == 0
    (files / "out").rename(files / "made")
    program = files / "sclite"
    program.write_text(f'#!/bin/bash\necho "$@" >{files}/asked\ncp {files}/made/hyp.trn.* "${{@: -1}}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("SCLITE", str(program))
    assert score(files, "--check") == 0
    assert capsys.readouterr().err.endswith("(sys raw dtl)\n")
    assert " -o sum rsum dtl -O " in (files / "asked").read_text()
