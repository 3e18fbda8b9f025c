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
