"""tools/check_sclite.py: a small run of it, and that it would notice a difference."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import check_sclite

from kdasr.score import sclite


@pytest.mark.needs("sclite")
def test_a_hundred_pairs_of_each_kind_equal_real_sclite(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["check_sclite.py", "--pairs", "100", "--seed", "3"])
    assert check_sclite.main() == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert len(rows) == 2 * 2 * 3 * 2
    assert {(row[5], row[7], row[8]) for row in rows} == {("100", "100.00%", "0")}


@pytest.mark.needs("sclite")
def test_a_difference_is_counted_and_kept(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sclite, "HEAD", sclite.HEAD.replace(b"Scores", b"scores"))
    monkeypatch.setattr(sys, "argv", ["check_sclite.py", "--pairs", "2", "--keep", str(tmp_path)])
    assert check_sclite.main() == 1
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert {row[8] for row in rows} == {"4"}  # a line an utterance in .pra, and in .prf
    assert (next(tmp_path.iterdir()) / "hyp.trn").exists()


def test_realistic_pairs_have_the_error_rate_asked_for():
    pairs = check_sclite.realistic(random.Random(1), 400, 0.2)
    words = sum(len(ref) for ref, _ in pairs)
    assert sum(ref != hyp for ref, hyp in pairs) > 300
    assert abs(sum(len(hyp) for _, hyp in pairs) / words - 1) < 0.02  # as many insertions as deletions
    same = sum(
        left == right for ref, hyp in pairs for left, right in zip(ref, hyp, strict=False) if len(ref) == len(hyp)
    )
    assert same > 0.3 * words


def test_ids_are_of_the_form_asked_for_and_differ():
    for id_form in sclite.ID_FORMS:
        names = check_sclite.ids(random.Random(2), 500, id_form)
        assert len({name.lower() for name in names}) == 500
        assert not any(sclite.unusual_id(name, id_form) for name in names)


def test_realistic_errors_are_as_many_as_asked_for():
    """Six in ten substitutions, two deletions and two insertions: all errors are `rate` of the words."""
    words = [f"w{k}" for k in range(20_000)]
    for rate in (0.1, 0.4):
        found = check_sclite.heard(random.Random(1), words, {word: ["sub"] for word in words}, ["ins"], rate)
        counts = {kind: found.count(kind) / 20_000 for kind in ("sub", "ins")}
        kept = len(found) / 20_000 - sum(counts.values())
        assert counts["sub"] == pytest.approx(0.6 * rate, rel=0.1) and counts["ins"] == pytest.approx(
            0.2 * rate, rel=0.1
        )
        assert 1 - kept - counts["sub"] == pytest.approx(0.2 * rate, rel=0.15)


@pytest.mark.parametrize("count", [1, 7, 230])
def test_random_sets_have_as_many_pairs_as_asked_for(count):
    for seed in range(5):
        sets = list(check_sclite.random_sets(random.Random(seed), count))
        assert sum(map(len, sets)) == count and all(0 < len(one) <= 200 for one in sets)


@pytest.mark.needs("sclite")
def test_lines_that_one_side_has_more_and_differences_of_any_set_count(monkeypatch, capsys, tmp_path):
    """kdasr's reports of the first combination lack their last line; all others are equal."""
    plain, calls = check_sclite.reports, []

    def shorter(*args):
        calls.append(args)
        found = plain(*args)
        return (
            {kind: text[:-1].rpartition(b"\n")[0] + b"\n" for kind, text in found.items()} if len(calls) == 1 else found
        )

    monkeypatch.setattr(check_sclite, "reports", shorter)
    monkeypatch.setattr(sys, "argv", ["check_sclite.py", "--pairs", "1", "--keep", str(tmp_path)])
    assert check_sclite.main() == 1
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    wrong = [int(row[8]) for row in rows]
    assert wrong[0] > 0 and not any(wrong[1:])
    assert [path.name for path in tmp_path.iterdir()] == ["0-0"]
    alike = [(args[1], args[2], args[3]) for args in calls]  # case, ids, characters
    assert len(set(alike)) == 12 and len({words for args in calls for one in args[0] for words in [tuple(one.ref)]}) > 1
