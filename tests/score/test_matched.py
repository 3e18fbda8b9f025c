import math
import random
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy import stats

from kdasr.score import sclite
from kdasr.score.align import align_all
from kdasr.score.matched import Matched, matched_pairs, segments
from kdasr.score.trn import Line, write_trn

PROGRAM = sclite.find()
STATS = Path(PROGRAM).with_name("sc_stats") if PROGRAM else None


def test_segments_are_parted_by_two_words_that_both_have_right():
    assert list(segments("SCCS", "CCCD")) == [(1, 0), (1, 1)]
    assert list(segments("SCS", "CCD")) == [(2, 1)]  # one word right is too few
    assert list(segments("CCCC", "CCCC")) == []
    assert list(segments("CCICC", "CCCC")) == [(1, 0)]  # an insertion parts the words about it
    assert list(segments("CICC", "CCC")) == [(1, 0)]
    assert list(segments("IS", "S")) == [(2, 1)]
    assert list(segments("II", "")) == [(2, 0)]
    assert list(segments("SCCS", "CCCD", boundary=3)) == [(2, 1)]
    with pytest.raises(ValueError, match="2 reference words on one side, 1 on the other"):
        list(segments("CC", "CI"))


def test_statistic_by_hand():
    # Z = 1, 0, 2: mean 1, sd 1, W = sqrt(3), p = 2 (1 - Phi(1.7320508)) = 0.0832645
    found = matched_pairs(["S", "S", "DD"], ["C", "S", "CC"])
    assert (found.segments, found.errors) == (3, (4, 1))
    assert (found.mean, found.sd) == (1.0, 1.0)
    assert found.z == pytest.approx(3**0.5)
    assert found.p == pytest.approx(0.0832645, abs=1e-7)
    assert not found.significant


def test_systems_that_are_alike_or_differ_without_spread():
    assert matched_pairs(["CC", "S"], ["CC", "S"]) == Matched(1, (1, 1), 0.0, 0.0, 0.0, 1.0)
    assert matched_pairs(["S", "S"], ["S", "S"]).p == 1.0
    assert matched_pairs(["S", "S"], ["C", "C"]) == Matched(2, (2, 0), 1.0, 0.0, math.inf, 0.0)
    assert matched_pairs(["C", "C"], ["S", "S"]) == Matched(2, (0, 2), -1.0, 0.0, -math.inf, 0.0)
    assert matched_pairs([], []) == Matched(0, (0, 0), 0.0, 0.0, 0.0, 1.0)
    # one segment has a difference, but no spread to measure it by
    assert matched_pairs(["DD"], ["CC"]) == Matched(1, (2, 0), 2.0, 0.0, 0.0, 1.0)
    assert not matched_pairs(["DD"], ["CC"]).significant and not matched_pairs(["S", "S"], ["S", "S"]).significant


def test_significant_is_below_five_percent():
    verdicts = [Matched(9, (9, 9), 0.0, 1.0, 0.0, p).significant for p in (0.0, 0.0499, 0.05, 0.0501, 1.0)]
    assert verdicts == [True, True, False, False, False]


@examples(100)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9))
def test_statistic_is_the_mean_over_its_standard_error(pairs):
    """An utterance whose words are each wrong in one of the systems is one segment."""
    sides = [["S" * one[side] + "C" * (max(one) - one[side]) for one in pairs] for side in (0, 1)]
    found = matched_pairs(*sides)
    differences = [a - b for a, b in pairs if a or b]
    assert found.segments == len(differences)
    assert found.errors == (sum(a for a, _ in pairs), sum(b for _, b in pairs))
    if len(set(differences)) > 1:
        z = sum(differences) / len(differences) / stats.sem(differences)
        assert (found.z, found.p) == pytest.approx((z, 2 * stats.norm.sf(abs(z))))
        assert (found.mean, found.sd) == pytest.approx((stats.tmean(differences), stats.tstd(differences)))


operations = st.lists(st.tuples(st.sampled_from("CCCSD"), st.sampled_from("CCCSD")), max_size=20)


@examples(100)
@given(operations, st.randoms(use_true_random=False))
def test_all_errors_are_in_segments_and_exchange_turns_the_sign(pairs, generator):
    sides = []
    for side in (0, 1):
        text = "".join(pair[side] + "I" * (generator.random() < 0.1) for pair in pairs)
        sides.append(text)
    found = list(segments(*sides))
    for side in (0, 1):
        assert sum(pair[side] for pair in found) == sum(letter != "C" for letter in sides[side])
    assert [(b, a) for a, b in segments(*sides[::-1])] == found
    one, other = matched_pairs([sides[0]], [sides[1]]), matched_pairs([sides[1]], [sides[0]])
    assert (one.mean, one.z) == (-other.mean, -other.z)


def corrupted(words, rate, vocabulary, generator):
    result = []
    for word in words:
        kind = generator.random()
        if kind < rate / 3:
            continue
        result.append(generator.choice(vocabulary) if kind < 2 * rate / 3 else word)
        if kind > 1 - rate / 3:
            result.append(generator.choice(vocabulary))
    return result


@pytest.mark.needs("sclite")
@pytest.mark.parametrize(("seed", "length", "rates"), [(0, 8, (0.3, 0.2)), (1, 20, (0.1, 0.1)), (2, 4, (0.6, 0.5))])
def test_result_is_that_of_nists_sc_stats(seed, length, rates, tmp_path):
    generator = random.Random(seed)
    vocabulary = [f"w{k}" for k in range(30)]
    names = [f"s{k % 7}-{k}" for k in range(80)]
    refs = [[generator.choice(vocabulary) for _ in range(generator.randint(0, length))] for _ in names]
    write_trn(tmp_path / "ref.trn", [Line(name, tuple(words)) for name, words in zip(names, refs, strict=True)])
    outcomes, sgml = [], b""
    for system, rate in zip("ab", rates, strict=True):
        hyps = [corrupted(words, rate, vocabulary, generator) for words in refs]
        write_trn(tmp_path / system, [Line(name, tuple(words)) for name, words in zip(names, hyps, strict=True)])
        outcomes.append(align_all(refs, hyps))
        command = [PROGRAM, "-r", "ref.trn", "trn", "-h", system, "trn", "-i", "rm", "-o", "sgml", "stdout"]
        sgml += subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    command = [STATS, "-p", "-t", "mapsswe", "-v", "-n", "out"]
    subprocess.run(command, cwd=tmp_path, input=sgml, capture_output=True, check=True)
    text = (tmp_path / "out.stats.mapsswe").read_text(errors="replace")  # it prints what lies in its memory, too
    told = re.search(r"# segs: (\d+).*mean: (\S+)\).*std dev: (\S+)\).*Z Stat: (\S+)\).*Stat Diff: (\w+)", text)
    errors = re.search(r"Totals\s+\d+\s+(\d+)\s+(\d+)", text)
    found = matched_pairs(*outcomes)
    assert str(found.segments) == told[1]
    assert [f"{value:.3f}" for value in (found.mean, found.sd, found.z)] == [told[2], told[3], told[4]]
    assert found.errors == (int(errors[1]), int(errors[2]))
    assert found.significant == (told[5] == "Yes")
