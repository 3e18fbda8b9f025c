"""Parts of a data directory: Kaldi's selections, whose tables fit together."""

import itertools
import random
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaldi_dirs import cmvn, features, segmented, tables

from kdasr.data import subset
from kdasr.data.kaldi_check import validate
from kdasr.data.kaldi_dir import put_dir
from kdasr.data.parts import LongDir
from kdasr.errors import UserError
from kdasr.files import read_table


def speaker_numbers(utt2spk):
    numbers = {}
    return np.array([numbers.setdefault(speaker, len(numbers)) for speaker in utt2spk.values()])


def names(made, places):
    return [list(made["utt2spk"])[place] for place in places]


def test_even_selection_is_kaldis():
    # what utils/subset_scp.pl takes of 10 lines: 2 of the first 5 (1 of 2, 1 of 3), 2 of the other 5
    assert subset.evenly(10, 4) == [1, 4, 6, 9]
    assert subset.evenly(10, 10) == list(range(10))
    assert subset.evenly(10, 1) == [9]
    assert subset.evenly(0, 0) == []
    with pytest.raises(UserError, match="11 utterances asked for, but there are 10"):
        subset.evenly(10, 11)


@given(st.integers(0, 60), st.data())
def test_even_selection_is_in_order_and_spread(n, data):
    count = data.draw(st.integers(0, n))
    chosen = subset.evenly(n, count)
    assert len(chosen) == count and chosen == sorted(set(chosen))
    for start, stop in itertools.combinations(range(0, n + 1, max(1, n // 4)), 2):
        inside = sum(start <= c < stop for c in chosen)
        assert abs(inside - count * (stop - start) / n) <= 4


def test_selections_by_speaker():
    made = tables()
    speaker = speaker_numbers(made["utt2spk"])
    first = ["01ac0001", "01bc0001", "40ac0001", "46kc0001", "47ac0001"]
    assert names(made, subset.of_each_speaker(speaker, 1)) == first
    assert len(subset.of_each_speaker(speaker, 2)) == 9
    chosen = subset.of_some_speakers(speaker, 4)
    assert 4 <= len(chosen) < 7 and set(chosen) == set(np.flatnonzero(np.isin(speaker, speaker[chosen])))
    # the draw of older versions, by which results were made: random.Random(0) on the speakers as they come
    drawn = list(dict.fromkeys(made["utt2spk"].values()))
    random.Random(0).shuffle(drawn)
    assert list(dict.fromkeys(made["utt2spk"][name] for name in names(made, chosen))) == drawn[:2]


def shortest(directory, made, count):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for name, table in made.items():
        (directory / name).write_text("".join(f"{key} {value}\n" for key, value in table.items()))
    with LongDir(directory) as whole:
        return names(made, subset.shortest(whole, count))


def test_the_shortest(tmp_path):
    assert shortest(tmp_path / "d", features(), 2) == ["47ac0002", "47ac0001"]
    with pytest.raises(UserError, match="neither utt2num_frames nor utt2dur"):
        shortest(tmp_path / "d", tables(), 2)


@pytest.mark.parametrize("length", ["long", "nan"])
def test_shortest_needs_numbers(tmp_path, length):
    made = {"utt2spk": {"a": "s", "b": "s"}, "utt2dur": {"a": "1", "b": length}}
    with pytest.raises(UserError, match=rf"--shortest: b has the length {length!r}, expected a number"):
        shortest(tmp_path / "d", made, 1)


def test_of_equally_short_ones_the_first_by_bytes(tmp_path):
    made = features()
    every = list(made["utt2spk"])
    for lengths in ({u: "5" for u in reversed(every)}, {u: "5" if n % 2 else "5.0" for n, u in enumerate(every)}):
        made["utt2num_frames"] = lengths
        assert shortest(tmp_path / "d", made, 4) == sorted(every)[:4]
    numbers = {"b": "9", "B": "9", "a": "10", "\u00e9": "9", "c": "2"}  # numbers, not texts
    made = {"utt2spk": dict.fromkeys([*numbers, "unknown"], "s"), "utt2num_frames": numbers | {"elsewhere": "11"}}
    assert shortest(tmp_path / "d", made, 6) == ["c", "B", "b", "\u00e9", "a"]
    made = {"utt2spk": dict.fromkeys("abc", "s"), "utt2dur": {"b": "0.5", "a": "0.25", "c": "1e-1"}}
    assert shortest(tmp_path / "d", made, 2) == ["c", "a"]


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_speakers_utterances_are_spread(size, count):
    chosen = subset.of_each_speaker(np.array([0] * size + [1]), count)
    step = max(1, size // count)
    assert chosen == [n * step for n in range(min(count, -(-size // step)))] + [size]
    assert len(chosen) == min(size, count) + 1


def test_subset_keeps_tables_together(tmp_path):
    put_dir(tmp_path / "all", features())
    cmvn(tmp_path / "all/cmvn.npz", 10, 1.0, 2.0)
    (tmp_path / "all/manifest.json").write_text("{}")
    assert subset.write_listed(tmp_path / "all", tmp_path / "some", ["40ac0001", "40ac0003", "unknown"]) == 2
    assert (tmp_path / "some/spk2utt").read_text() == "40a 40ac0001 40ac0003\n"
    assert read_table(tmp_path / "some/feats.scp") == {
        "40ac0001": "/feats/feats.1.ark:3",
        "40ac0003": "/feats/feats.1.ark:5",
    }
    assert read_table(tmp_path / "some/spk2gender") == {"40a": "m"}
    assert (tmp_path / "some/cmvn.npz").read_bytes() == (tmp_path / "all/cmvn.npz").read_bytes()
    assert not (tmp_path / "some/manifest.json").exists()
    validate(tmp_path / "some", wav=False)
    with pytest.raises(UserError, match="is the source itself"):
        subset.write_listed(tmp_path / "all", tmp_path / "some/../all", ["40ac0001"])


def test_those_of_listed_speakers(tmp_path):
    put_dir(tmp_path / "d", tables())
    with LongDir(tmp_path / "d") as whole:
        assert names(tables(), subset.listed(whole, iter(["46k", "01b", "x"]), speakers=True)) == [
            "01bc0001", "46kc0001", "46kc0002",
        ]  # fmt: skip
        assert subset.listed(whole, ["46k"], speakers=False) == []


def test_parts_keep_the_recordings_of_their_segments(tmp_path):
    put_dir(tmp_path / "d", segmented())
    validate(tmp_path / "d", feats=False)
    subset.write_listed(tmp_path / "d", tmp_path / "e", ["ac0002"])
    assert (tmp_path / "e/wav.scp").read_text() == "rec1 /audio/1.wav\n"
    for name in ("segments", "wav.scp", "text", "utt2spk"):
        path = tmp_path / "d" / name
        path.write_text(path.read_text().replace(" ", "\t"))
    subset.write_listed(tmp_path / "d", tmp_path / "f", ["ac0002"])
    assert (tmp_path / "f/wav.scp").read_text() == "rec1 /audio/1.wav\n"
