"""Reports of a set that comes in pieces are those of the whole."""

import random

import pytest

from kdasr.score import detail, running
from kdasr.score.align import Aligned, align_words
from kdasr.score.characters import characters

WORDS = [*"abcdefgh", "ab", "abc", "B", "\u00e9", "a\u00e9"]


def drawn(seed, chars):
    draw = random.Random(seed)
    refs, hyps = ([tuple(draw.choices(WORDS, k=draw.randint(0, 7))) for _ in range(60)] for _ in range(2))
    if chars:
        refs, hyps = (list(map(characters, side)) for side in (refs, hyps))
    ids = [f"{draw.choice(['s', 'S', 't', 'u'])}-{number}" for number in range(60)]
    return [Aligned(*one) for one in zip(ids, refs, hyps, align_words(refs, hyps), strict=True)]


@pytest.mark.parametrize("chars", [False, True])
@pytest.mark.parametrize("case_sensitive", [False, True])
def test_pieces_make_the_whole(chars, case_sensitive, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "FOLD", 5)
    monkeypatch.setattr(running, "ROWS", 3)
    monkeypatch.setattr(running, "BLOCK", 100)
    utterances = drawn(1, chars)
    whole = detail.reports(utterances, case_sensitive, chars=chars, date="Mon")
    with open(tmp_path / "1", "w+b") as one, open(tmp_path / "2", "w+b") as two:
        files = iter((one, two))
        pieces = running.Running(case_sensitive, chars=chars, date="Mon", room=lambda: next(files))
        for start in range(0, 60, 7):
            pieces.add(utterances[start : start + 7])
        for kind, expected in whole.items():
            with open(tmp_path / "out", "w+b") as out:
                pieces.write(kind, out)
            assert (tmp_path / "out").read_bytes() == expected, kind
    assert list(whole) == list(running.KINDS)
