"""A data directory cut for several processes: evenly, as Kaldi does it, and again only when it is newer."""

import itertools
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaldi_dirs import cmvn, features, tables

from kdasr.data import split
from kdasr.data.kaldi_check import validate
from kdasr.data.kaldi_dir import put_dir
from kdasr.errors import UserError
from kdasr.files import read_table


def test_split_by_speaker_is_kaldis(tmp_path):
    put_dir(tmp_path / "d", tables())
    assert split.split_dir(tmp_path / "d", 3) == tmp_path / "d/split3"
    parts = [read_table(tmp_path / f"d/split3/{n}/utt2spk") for n in (1, 2, 3)]
    # by hand: 2+1, 3+2, 2 utterances for equal numbers of speakers; 46k goes over the second border
    assert [sorted(set(part.values())) for part in parts] == [["01a", "01b"], ["40a"], ["46k", "47a"]]
    assert [u for part in parts for u in part] == list(tables()["utt2spk"])
    for n in (1, 2, 3):
        validate(tmp_path / f"d/split3/{n}", feats=False)
    with pytest.raises(UserError, match="7 parts asked for, but there are 5 speakers"):
        split.split_dir(tmp_path / "d", 7)
    for parts in (0, -1, 10**12):  # said at once, however many
        with pytest.raises(UserError, match=f"{parts} parts asked for"):
            split.split_dir(tmp_path / "d", parts)
        with pytest.raises(UserError, match=f"{parts} parts asked for"):
            split.split_dir(tmp_path / "d", parts, per_utterance=True)


def test_split_by_utterance_and_only_when_older(tmp_path):
    put_dir(tmp_path / "d", tables())
    target = split.split_dir(tmp_path / "d", 4, per_utterance=True)
    assert target.name == "split4utt"
    assert [len(read_table(target / str(n) / "text")) for n in (1, 2, 3, 4)] == [3, 3, 2, 2]
    before = (target / "1/text").stat().st_mtime_ns
    split.split_dir(tmp_path / "d", 4, per_utterance=True)
    assert (target / "1/text").stat().st_mtime_ns == before
    later = before + 10**9
    os.utime(tmp_path / "d/text", ns=(later, later))
    split.split_dir(tmp_path / "d", 4, per_utterance=True)
    assert (target / "1/text").stat().st_mtime_ns != before
    with pytest.raises(UserError, match="11 parts asked for, but there are 10 utterances"):
        split.split_dir(tmp_path / "d", 11, per_utterance=True)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.data())
def test_split_by_speaker_cannot_be_evened_out_further(sizes, data):
    parts = data.draw(st.integers(1, len(sizes)))
    utt2spk = {f"{s:02d}-{u:02d}": f"{s:02d}" for s, n in enumerate(sizes) for u in range(n)}
    speaker = np.array([int(name) for name in utt2spk.values()])
    found = split.by_speaker(speaker, parts, "d")
    assert [number for piece in found for number in piece] == list(range(len(sizes)))
    pieces = [[u for u, name in utt2spk.items() if int(name) in piece] for piece in found]
    assert [u for piece in pieces for u in piece] == list(utt2spk)
    assert len(pieces) == parts
    for left, right in itertools.pairwise(pieces):
        assert not {utt2spk[u] for u in left} & {utt2spk[u] for u in right}
        if right:
            first = sum(utt2spk[u] == utt2spk[right[0]] for u in right)
            assert abs(len(left) + first - (len(right) - first)) >= abs(len(left) - len(right))
        if left:
            last = sum(utt2spk[u] == utt2spk[left[-1]] for u in left)
            assert abs(len(right) + last - (len(left) - last)) >= abs(len(right) - len(left))


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_pieces_are_even_and_the_larger_ones_first(pair):
    size, parts = pair
    pieces = split.cut_evenly(size, parts)
    assert [place for begin, end in pieces for place in range(begin, end)] == list(range(size))
    sizes = [end - begin for begin, end in pieces]
    assert len(sizes) == parts and sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[-1] <= 1


def test_whichever_table_is_newer_the_split_is_made_again(tmp_path):
    put_dir(tmp_path / "d", tables())
    for path in (tmp_path / "d").iterdir():
        os.utime(path, (1000, 1000))
    place = split.split_dir(tmp_path / "d", 2)
    number = place.stat().st_ino
    assert split.split_dir(tmp_path / "d", 2).stat().st_ino == number
    for name in tables():
        newest = max(path.stat().st_mtime for path in place.glob("*/*")) + 10
        os.utime(tmp_path / "d" / name, (newest, newest))
        again = split.split_dir(tmp_path / "d", 2).stat().st_ino
        assert again != number, name
        os.utime(tmp_path / "d" / name, (1000, 1000))
        number = again
        assert split.split_dir(tmp_path / "d", 2).stat().st_ino == number


def test_tables_in_any_order_are_cut_in_that_of_their_ids(tmp_path):
    put_dir(tmp_path / "d", tables())
    for path in (tmp_path / "d").iterdir():
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(reversed(lines)))
    place = split.split_dir(tmp_path / "d", 3)
    assert [sorted(set(read_table(place / str(n) / "utt2spk").values())) for n in (1, 2, 3)] == [
        ["01a", "01b"], ["40a"], ["46k", "47a"],
    ]  # fmt: skip
    place = split.split_dir(tmp_path / "d", 4, per_utterance=True)
    assert [len(read_table(place / str(n) / "text")) for n in (1, 2, 3, 4)] == [3, 3, 2, 2]
    assert list(read_table(place / "1/text")) == ["01ac0001", "01ac0002", "01bc0001"]


def test_parts_have_the_wholes_statistics(tmp_path):
    put_dir(tmp_path / "d", features())
    cmvn(tmp_path / "d/cmvn.npz", 10, 1.0, 2.0)
    place = split.split_dir(tmp_path / "d", 2)
    assert (place / "2/cmvn.npz").read_bytes() == (tmp_path / "d/cmvn.npz").read_bytes()
