import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.score import detail, sclite
from kdasr.score.align import Aligned, align_words
from kdasr.score.characters import characters
from kdasr.score.trn import Line, read_trn, unusual, write_trn

GOLDEN = Path(__file__).parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))

from make_sclite import CASES  # noqa: E402

PROGRAM = sclite.find()
KINDS = tuple(detail.OPTIONS)


def aligned(ref, hyp, case_sensitive=False, chars=False):
    sides = [[characters(line.words) if chars else line.words for line in side] for side in (ref, hyp)]
    steps = align_words(*sides, case_sensitive)
    return [Aligned(line.id, *one) for line, *one in zip(hyp, *sides, steps, strict=True)]


def reports(ref, hyp, case_sensitive=False, id_form="rm", chars=False, kinds=KINDS):
    utterances = aligned(ref, hyp, case_sensitive, chars)
    made = detail.reports(utterances, case_sensitive, id_form, chars, kinds)
    return {kind: detail.undated(report) for kind, report in made.items()}


def real_reports(ref, hyp, directory, case_sensitive=False, id_form="rm", chars=False, kinds=KINDS):
    write_trn(directory / "ref.trn", ref)
    write_trn(directory / "hyp.trn", hyp)
    made = detail.real_reports(PROGRAM, directory, case_sensitive, id_form, chars, kinds)
    return {kind: detail.undated(report) for kind, report in made.items()}


@pytest.mark.parametrize("name", CASES)
def test_reports_equal_the_golden_files_byte_for_byte(name):
    directory, options = GOLDEN / f"sclite_{name}", CASES[name][1]
    lines = (
        read_trn(directory / file, options.get("id_form", "rm"), "case" in name) for file in ("ref.trn", "hyp.trn")
    )
    made = reports(*lines, **options)
    assert made["sys"] + made["raw"] + made["pra"] == (directory / "result.txt").read_bytes()
    for kind in ("dtl", "sgml", "prf"):
        assert made[kind] == (directory / f"hyp.trn.{kind}").read_bytes(), kind


@pytest.mark.parametrize("name", CASES)
def test_golden_texts_are_those_that_their_script_draws(name):
    for file, lines in zip(("ref.trn", "hyp.trn"), CASES[name][0], strict=True):
        assert read_trn(GOLDEN / f"sclite_{name}" / file, CASES[name][1].get("id_form", "rm"), "case" in name) == lines


def drawn(seed, id_form="rm"):
    generator = random.Random(seed)
    vocabulary = [chr(97 + k) * generator.choice([1, 1, 3]) for k in range(generator.choice([2, 4, 20]))]
    vocabulary += ["Word", "é", "x*", '"', "a:b"]
    speakers = [f"s{k}" for k in range(generator.choice([1, 3, 60]))] + ["Ann", "a_rather_long_speaker_name"]
    join = {"rm": "-", "spu_id": "_", "wsj": ""}[id_form]
    lengths = generator.choice([(0, 2), (1, 8), (10, 30)])
    pair = [], []
    for number in range(generator.choice([1, 20, 100])):
        name = f"{generator.choice(speakers)}{join}{number:02}"
        for lines in pair:
            count = generator.randint(*lengths)
            lines.append(Line(name, tuple(generator.choice(vocabulary) for _ in range(count))))
    return pair


@pytest.mark.needs("sclite")
@pytest.mark.parametrize("chars", [False, True])
@pytest.mark.parametrize("id_form", sclite.ID_FORMS)
def test_random_pairs_equal_real_sclite_byte_for_byte(id_form, chars, tmp_path):
    for seed in range(4):
        ref, hyp = drawn(seed, id_form)
        for case_sensitive in (False, True):
            options = case_sensitive, id_form, chars
            assert reports(ref, hyp, *options) == real_reports(ref, hyp, tmp_path, *options)


wild = st.text(st.characters(codec="utf-8", exclude_characters=" \t\n\r\v\f"), min_size=1, max_size=6)


@pytest.mark.needs("sclite")
@examples(100)
@given(st.lists(st.tuples(st.lists(wild, max_size=4), st.lists(wild, max_size=4)), min_size=1, max_size=4))
@pytest.mark.parametrize("chars", [False, True])
def test_wild_words_are_scored_as_sclite_does_or_refused(tmp_path, chars, pairs):
    if any(unusual(words) or (chars and "@" in "".join(words)) for two in pairs for words in two):
        return  # refused by name, or the work of networks: test_trn and test_network
    sides = [[Line(f"s-{k}", tuple(two[side])) for k, two in enumerate(pairs)] for side in (0, 1)]
    expected = real_reports(*sides, tmp_path, chars=chars)
    assert [read_trn(tmp_path / name) for name in ("ref.trn", "hyp.trn")] == sides
    assert reports(*sides, chars=chars) == expected


@pytest.mark.needs("sclite")
@examples(100)
@given(
    st.lists(st.text(st.sampled_from("aBé-_1"), min_size=1, max_size=5), min_size=1, max_size=5, unique_by=str.lower),
    st.sampled_from(sclite.ID_FORMS),
    st.booleans(),
)
def test_wild_ids_are_split_as_sclite_does_or_refused(tmp_path, names, id_form, case_sensitive):
    sides = [[Line(name, (word,)) for name in names] for word in "ab"]
    if any(sclite.unusual_id(name, id_form) for name in names):
        return
    assert reports(*sides, case_sensitive, id_form) == real_reports(*sides, tmp_path, case_sensitive, id_form)


@pytest.mark.parametrize(
    ("name", "id_form", "speaker"),
    [
        ("Ab-c-d", "rm", b"ab"),
        ("a_b-c", "rm", b"a_b"),
        ("a_b_c", "spu_id", b"a"),
        ("-a", "rm", b""),
        ("4k1c0301", "wsj", b"4k1"),
        ("a-b", "wsj", b"a-b"),
        ("éa", "wsj", "éa".encode()),
    ],
)
def test_the_speaker_of_an_id(name, id_form, speaker):
    assert not sclite.unusual_id(name, id_form)
    assert sclite.speaker_of(name, False, id_form) == speaker


@pytest.mark.parametrize(
    ("name", "id_form", "why"),
    [
        ("abc", "rm", r"id form rm takes what is before '-' or '_' for the speaker, and \(abc\) has neither"),
        ("abc", "spu_id", "id form spu_id takes what is before"),
        ("ab", "wsj", r"first three bytes for the speaker, and \(ab\) has fewer"),
        ("abé", "wsj", r"which cuts a letter of \(abé\) in two"),
    ],
)
def test_ids_that_sclite_cannot_split_are_refused(name, id_form, why, tmp_path):
    (tmp_path / "hyp.trn").write_text(f"a ({name})\n")
    with pytest.raises(UserError, match=why) as raised:
        read_trn(tmp_path / "hyp.trn", id_form)
    assert str(raised.value).startswith(f"{tmp_path}/hyp.trn:1: ")


def test_characters_are_those_of_the_words_without_blanks_and_final_asterisks():
    assert characters(["the", "É", "x*", "**", "*", "a*b"]) == tuple("theÉx**a*b")
    assert characters([]) == ()


def test_long_words_are_reported_but_not_trusted_to_sclite(tmp_path):
    words = {length: "w" * length for length in (40, 41, 999, 1000)}
    found = {
        length: detail.trusted(detail.longest_word(aligned([Line("s-1", ("a",))], [Line("s-1", (word,))])), KINDS)
        for length, word in words.items()
    }
    assert found[40] == list(KINDS)
    assert found[41] == found[999] == ["sys", "raw", "dtl", "sgml"]
    assert found[1000] == ["sys", "raw", "dtl"]
    chars = aligned([Line("s-1", ("a",))], [Line("s-1", (words[1000],))], chars=True)
    assert detail.trusted(detail.longest_word(chars), KINDS) == list(KINDS)
    if PROGRAM:
        for length, kinds in found.items():
            sides = [[Line("s-1", ("a", "b"))], [Line("s-1", (words[length], "b", "b"))]]
            assert reports(*sides, kinds=kinds) == real_reports(*sides, tmp_path, kinds=kinds), length


def test_the_date_is_the_only_thing_undated_takes_out():
    utterances = aligned([Line("s-1", ('creation_date="x"',))], [Line("s-1", ("b",))])
    for kind, line in (("sgml", b'creation_date="Mon"'), ("prf", b'\nCreation date: "Mon"\n')):
        report = detail.reports(utterances, kinds=[kind], date="Mon")[kind]
        assert line in report
        assert detail.undated(report) == report.replace(line, line.replace(b"Mon", b""))
    assert detail.reports(utterances, kinds=["sgml"])["sgml"] != report


def test_an_sclite_that_is_named_but_absent_is_said_so(monkeypatch):
    monkeypatch.setenv("SCLITE", "/no/such/sclite")
    with pytest.raises(UserError, match=r"\$SCLITE is '/no/such/sclite'"):
        sclite.find()


def test_rounding_is_half_away_from_zero():
    values = (0.25, 33.35, 66.66666, 0.0, -0.25, -12.34)
    assert [sclite.rounded(value, 1) for value in values] == [0.3, 33.4, 66.7, 0.0, -0.3, -12.3]


def program(path, text="exit 0"):
    """A program that does what this line of shell says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo report; exit 3", "failed with status 3 ()"),
        ("echo report; echo Error: no alignment >&2", "failed with status 0 (Error: no alignment)"),
        ("printf '1\\n2\\n3\\n4\\n' >&2; exit 1", "failed with status 1 (2 3 4)"),
    ],
)
def test_an_sclite_that_fails_is_not_believed(text, said, tmp_path):
    with pytest.raises(UserError) as raised:
        sclite.run_real(program(tmp_path / "sclite", text), tmp_path)
    assert said in str(raised.value) and str(raised.value).startswith(f"{tmp_path}: {tmp_path}/sclite ")
    assert sclite.run_real(program(tmp_path / "sclite", "echo a warning >&2; echo report"), tmp_path) == b"report\n"


def test_the_real_sclite_is_looked_for_in_its_places_in_order(tmp_path, monkeypatch):
    for name in ("SCLITE", "KALDI_ROOT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setattr(sclite, "PLACES", (f"{tmp_path}/usual/sclite", f"{tmp_path}/other/sclite"))
    assert sclite.find() is None
    monkeypatch.setenv("KALDI_ROOT", f"{tmp_path}/kaldi")
    assert sclite.find() is None
    (tmp_path / "usual/sclite").mkdir(parents=True)  # a directory is no program, nor is a file that may not be run
    (tmp_path / "other").mkdir()
    (tmp_path / "other/sclite").touch(0o644)
    assert sclite.find() is None
    for place in ("kaldi/tools/sctk/bin/sclite", "other/sclite"):  # each comes before those that were there
        assert sclite.find() != program(tmp_path / place) == sclite.find()
    (tmp_path / "usual/sclite").rmdir()
    wrapped = program(tmp_path / "sctk/sclite")
    for place, text in (("usual/sclite", ""), ("bin/sctk", f"echo {tmp_path}/sctk"), ("bin/sclite", "")):
        made = program(tmp_path / place, text)
        assert sclite.find() == (wrapped if text else made)
    monkeypatch.setenv("SCLITE", program(tmp_path / "mine"))
    assert sclite.find() == f"{tmp_path}/mine"


@pytest.mark.parametrize(
    ("widths", "stops"),
    [
        ([2] * 1500, [992, 1982, 2972, 3000]),  # the first line begins with 6 columns of a label, the others with 9
        ([1] * 994, [994]),
        ([1] * 995, [993, 995]),
        ([2000, 3, 2000], [2000, 4003]),  # the very last is not given back
        ([2000, 3, 2000, 1], [2000, 2003, 4003, 4004]),
        ([], []),
    ],
)
def test_long_alignments_go_on_in_further_lines(widths, stops):
    assert sclite._stops(widths) == stops


@pytest.mark.needs("sclite")
def test_lines_of_long_alignments_end_where_sclites_do(tmp_path):
    generator = random.Random(5)
    sides = [[], []]
    for number in range(12):
        longest = generator.choice([1, 2, 4])
        for side in sides:
            words = ("a" * generator.randint(1, longest) for _ in range(1100 + number))
            side.append(Line(f"s-{number}", tuple(words)))
    assert reports(*sides, kinds=("pra", "prf")) == real_reports(*sides, tmp_path, kinds=("pra", "prf"))
