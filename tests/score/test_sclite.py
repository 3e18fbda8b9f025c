import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdasr.errors import UserError
from kdasr.score import sclite
from kdasr.score.align import align_all, normal
from kdasr.score.trn import Line, read_trn, unusual, write_trn

GOLDEN = Path(__file__).parent.parent / "golden"
PROGRAM = sclite.find()
needs_sclite = pytest.mark.skipif(PROGRAM is None, reason="no sclite here (Debian: apt-get install sctk)")


def reports(ref, hyp, case_sensitive=False):
    keys = [[[normal(word, case_sensitive) for word in line.words] for line in side] for side in (ref, hyp)]
    operations = align_all(*keys)
    aligned = [sclite.Aligned(r.id, r.words, h.words, o) for r, h, o in zip(ref, hyp, operations, strict=True)]
    speakers = sclite.by_speaker(aligned, case_sensitive)
    return (
        sclite.summary(speakers, raw=False)
        + sclite.summary(speakers, raw=True)
        + sclite.alignments(aligned, case_sensitive)
    )


@pytest.mark.parametrize("name", ["few", "news", "odd", "case", "nothing", "long"])
def test_reports_equal_the_golden_files_byte_for_byte(name):
    directory = GOLDEN / f"sclite_{name}"
    ref, hyp = read_trn(directory / "ref.trn"), read_trn(directory / "hyp.trn")
    assert reports(ref, hyp, name == "case") == (directory / "result.txt").read_bytes()


def drawn(seed):
    generator = random.Random(seed)
    vocabulary = [chr(97 + k) for k in range(generator.choice([2, 4, 20]))] + ["Word", "é", "x*"]
    speakers = [f"s{k}" for k in range(generator.choice([1, 3, 60]))] + ["Ann", "a_rather_long_speaker_name"]
    lengths = generator.choice([(0, 2), (1, 8), (10, 30)])
    pair = [], []
    for number in range(generator.choice([1, 20, 100])):
        name = f"{generator.choice(speakers)}-{number}"
        for lines in pair:
            count = generator.randint(*lengths)
            lines.append(Line(name, tuple(generator.choice(vocabulary) for _ in range(count))))
    return pair


@needs_sclite
@pytest.mark.parametrize("seed", range(8))
def test_random_pairs_equal_real_sclite_byte_for_byte(seed, tmp_path):
    ref, hyp = drawn(seed)
    write_trn(tmp_path / "ref.trn", ref)
    write_trn(tmp_path / "hyp.trn", hyp)
    for case_sensitive in (False, True):
        assert reports(ref, hyp, case_sensitive) == sclite.run_real(PROGRAM, tmp_path, case_sensitive)


wild = st.text(st.characters(codec="utf-8", exclude_characters=" \t\n\r\v\f"), min_size=1, max_size=6)


@needs_sclite
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.lists(wild, max_size=4), st.lists(wild, max_size=4)), min_size=1, max_size=4))
def test_wild_words_are_scored_as_sclite_does_or_refused(tmp_path, pairs):
    if any(unusual(words) for two in pairs for words in two):
        return  # refused by name; test_trn says with what words
    sides = [[Line(f"s-{k}", tuple(two[side])) for k, two in enumerate(pairs)] for side in (0, 1)]
    for name, lines in zip(("ref.trn", "hyp.trn"), sides, strict=True):
        write_trn(tmp_path / name, lines)
        assert read_trn(tmp_path / name) == lines
    assert reports(*sides) == sclite.run_real(PROGRAM, tmp_path)


def test_an_sclite_that_is_named_but_absent_is_said_so(monkeypatch):
    monkeypatch.setenv("SCLITE", "/no/such/sclite")
    with pytest.raises(UserError, match=r"\$SCLITE is '/no/such/sclite'"):
        sclite.find()


def test_rounding_is_half_away_from_zero():
    assert [sclite.rounded(value, 1) for value in (0.25, 33.35, 66.66666, 0.0)] == [0.3, 33.4, 66.7, 0.0]
