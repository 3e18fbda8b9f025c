"""Data directories: Kaldi's selections and splits, and that parts and wholes fit together."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.data import kaldi_dir
from kdasr.data.kaldi_check import validate
from kdasr.errors import UserError
from kdasr.files import read_table

SIZES = {"01a": 2, "01b": 1, "40a": 3, "46k": 2, "47a": 2}


def tables(sizes=SIZES, **more):
    utt2spk = {f"{s}c{i:04d}": s for s, n in sizes.items() for i in range(1, n + 1)}
    return {
        "utt2spk": utt2spk,
        "text": {u: f"WORDS OF {u.upper()}" for u in utt2spk},
        "wav.scp": {u: f"/audio/{u}.wv1" for u in utt2spk},
        "spk2gender": {s: "mf"[i % 2] for i, s in enumerate(sizes)},
        **more,
    }


def features(sizes=SIZES):
    made = tables(sizes)
    del made["wav.scp"]
    made["feats.scp"] = {u: f"/feats/feats.1.ark:{i}" for i, u in enumerate(made["utt2spk"])}
    made["utt2num_frames"] = {u: str(100 - i) for i, u in enumerate(made["utt2spk"])}
    made["utt2dur"] = {u: f"{1.0 - i / 100:.3f}" for i, u in enumerate(made["utt2spk"])}
    return made


def cmvn(path, count, *values):
    np.savez(path, count=np.array(count), sum=np.array(values), sum_square=np.array(values) ** 2)


def test_spk2utt_and_back():
    utt2spk = {"a-1": "a", "a-2": "a", "b-1": "b"}
    assert kaldi_dir.spk2utt_of(utt2spk) == {"a": "a-1 a-2", "b": "b-1"}
    assert kaldi_dir.utt2spk_of({"a": "a-1 a-2", "b": "b-1"}) == utt2spk


def test_put_and_read(tmp_path):
    wild = {"b-2": "b", "a-1": "a", "b-1": "b", "B-1": "B"}
    assert kaldi_dir.put_dir(tmp_path / "d", {"utt2spk": wild, "text": {u: "x  y" for u in wild}})
    assert (tmp_path / "d/utt2spk").read_text() == "B-1 B\na-1 a\nb-1 b\nb-2 b\n"
    assert (tmp_path / "d/spk2utt").read_text() == "B B-1\na a-1\nb b-1 b-2\n"
    assert kaldi_dir.read_dir(tmp_path / "d") == {"utt2spk": wild, "text": {u: "x  y" for u in wild}}
    assert not kaldi_dir.put_dir(tmp_path / "d", {"utt2spk": wild, "text": {u: "x  y" for u in wild}})
    assert kaldi_dir.put_dir(tmp_path / "d", {"utt2spk": wild})
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["spk2utt", "utt2spk"]
    with pytest.raises(UserError, match="no utterance is left"):
        kaldi_dir.put_dir(tmp_path / "e", {"utt2spk": {}})
    with pytest.raises(UserError, match="utt2spk: no such file"):
        kaldi_dir.read_dir(tmp_path)


def test_even_selection_is_kaldis():
    # what utils/subset_scp.pl takes of 10 lines: 2 of the first 5 (1 of 2, 1 of 3), 2 of the other 5
    assert kaldi_dir.select_evenly("0123456789", 4) == ["1", "4", "6", "9"]
    assert kaldi_dir.select_evenly("0123456789", 10) == list("0123456789")
    assert kaldi_dir.select_evenly("0123456789", 1) == ["9"]
    assert kaldi_dir.select_evenly("", 0) == []
    with pytest.raises(UserError, match="11 utterances asked for, but there are 10"):
        kaldi_dir.select_evenly("0123456789", 11)


@given(st.integers(0, 60), st.data())
def test_even_selection_is_in_order_and_spread(n, data):
    count = data.draw(st.integers(0, n))
    chosen = kaldi_dir.select_evenly([*range(n)], count)
    assert len(chosen) == count and chosen == sorted(set(chosen))
    for start, stop in itertools.combinations(range(0, n + 1, max(1, n // 4)), 2):
        inside = sum(start <= c < stop for c in chosen)
        assert abs(inside - count * (stop - start) / n) <= 4


def test_other_selections():
    utt2spk = tables()["utt2spk"]
    assert kaldi_dir.select_per_speaker(utt2spk, 1) == ["01ac0001", "01bc0001", "40ac0001", "46kc0001", "47ac0001"]
    assert len(kaldi_dir.select_per_speaker(utt2spk, 2)) == 9
    chosen = kaldi_dir.select_speakers(utt2spk, 4)
    speakers = {utt2spk[u] for u in chosen}
    assert 4 <= len(chosen) < 7 and set(chosen) == {u for u, s in utt2spk.items() if s in speakers}
    assert kaldi_dir.select_speakers(utt2spk, 4) == chosen
    assert kaldi_dir.select_shortest(features(), 2) == ["47ac0002", "47ac0001"]
    with pytest.raises(UserError, match="neither utt2num_frames nor utt2dur"):
        kaldi_dir.select_shortest(tables(), 2)


def test_subset_keeps_tables_together(tmp_path):
    kaldi_dir.put_dir(tmp_path / "all", features())
    cmvn(tmp_path / "all/cmvn.npz", 10, 1.0, 2.0)
    (tmp_path / "all/manifest.json").write_text("{}")
    assert kaldi_dir.write_subset(tmp_path / "all", tmp_path / "some", ["40ac0001", "40ac0003", "unknown"]) == 2
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
        kaldi_dir.write_subset(tmp_path / "all", tmp_path / "some/../all", ["40ac0001"])


def segmented():
    made = tables({"a": 2, "b": 1})
    made["segments"] = {"ac0001": "rec1 0.0 1.5", "ac0002": "rec1 1.5 2", "bc0001": "rec2 0 9"}
    made["wav.scp"] = {"rec1": "/audio/1.wav", "rec2": "/audio/2.wav"}
    return made


def test_segments_keep_their_recordings(tmp_path):
    kaldi_dir.put_dir(tmp_path / "d", segmented())
    validate(tmp_path / "d", feats=False)
    kaldi_dir.write_subset(tmp_path / "d", tmp_path / "e", ["ac0002"])
    assert (tmp_path / "e/wav.scp").read_text() == "rec1 /audio/1.wav\n"
    kaldi_dir.copy_dir(tmp_path / "d", tmp_path / "f", ("x-", ""), ("x-", ""))
    assert read_table(tmp_path / "f/wav.scp") == segmented()["wav.scp"]
    assert read_table(tmp_path / "f/segments")["x-ac0001"] == "rec1 0.0 1.5"
    validate(tmp_path / "f", feats=False)


def test_copy_renames_everywhere(tmp_path):
    kaldi_dir.put_dir(tmp_path / "a", tables({"s": 2}))
    kaldi_dir.copy_dir(tmp_path / "a", tmp_path / "b", ("sp0.9-", "-x"), ("sp0.9-", "-y"))
    assert read_table(tmp_path / "b/utt2spk") == {"sp0.9-sc0001-y": "sp0.9-s-x", "sp0.9-sc0002-y": "sp0.9-s-x"}
    assert read_table(tmp_path / "b/spk2gender") == {"sp0.9-s-x": "m"}
    assert read_table(tmp_path / "b/text") == {"sp0.9-sc0001-y": "WORDS OF SC0001", "sp0.9-sc0002-y": "WORDS OF SC0002"}
    assert read_table(tmp_path / "b/wav.scp") == {
        "sp0.9-sc0001-y": "/audio/sc0001.wv1",
        "sp0.9-sc0002-y": "/audio/sc0002.wv1",
    }


def test_combine(tmp_path):
    kaldi_dir.put_dir(tmp_path / "a", features({"01a": 2}))
    more = features({"02a": 1})
    more["utt2uniq"] = {"02ac0001": "orig"}
    del more["utt2dur"]
    kaldi_dir.put_dir(tmp_path / "b", more)
    cmvn(tmp_path / "a/cmvn.npz", 10, 1.0, 2.0)
    cmvn(tmp_path / "b/cmvn.npz", 5, 0.5, 4.0)
    assert kaldi_dir.combine_dirs(tmp_path / "c", [tmp_path / "b", tmp_path / "a"]) == (3, ["utt2dur"])
    validate(tmp_path / "c", wav=False)
    assert list(read_table(tmp_path / "c/feats.scp")) == ["01ac0001", "01ac0002", "02ac0001"]
    assert read_table(tmp_path / "c/utt2uniq") == {"01ac0001": "01ac0001", "01ac0002": "01ac0002", "02ac0001": "orig"}
    with np.load(tmp_path / "c/cmvn.npz") as total:
        assert total["count"] == 15
        np.testing.assert_array_equal(total["sum"], [1.5, 6.0])
        np.testing.assert_array_equal(total["sum_square"], [1.25, 20.0])
    (tmp_path / "b/cmvn.npz").unlink()
    kaldi_dir.combine_dirs(tmp_path / "c", [tmp_path / "b", tmp_path / "a"])
    assert not (tmp_path / "c/cmvn.npz").exists()
    with pytest.raises(UserError, match=r"c/utt2spk: 01ac0001 is in another"):
        kaldi_dir.combine_dirs(tmp_path / "d", [tmp_path / "a", tmp_path / "c"])
    with pytest.raises(UserError, match="is one of the sources"):
        kaldi_dir.combine_dirs(tmp_path / "a", [tmp_path / "a", tmp_path / "b"])


def test_split_by_speaker_is_kaldis(tmp_path):
    kaldi_dir.put_dir(tmp_path / "d", tables())
    assert kaldi_dir.split_dir(tmp_path / "d", 3) == tmp_path / "d/split3"
    parts = [read_table(tmp_path / f"d/split3/{n}/utt2spk") for n in (1, 2, 3)]
    # by hand: 2+1, 3+2, 2 utterances for equal numbers of speakers; 46k goes over the second border
    assert [sorted(set(part.values())) for part in parts] == [["01a", "01b"], ["40a"], ["46k", "47a"]]
    assert [u for part in parts for u in part] == list(tables()["utt2spk"])
    for n in (1, 2, 3):
        validate(tmp_path / f"d/split3/{n}", feats=False)
    with pytest.raises(UserError, match="7 parts asked for, but there are 5 speakers"):
        kaldi_dir.split_dir(tmp_path / "d", 7)
    for parts in (0, -1, 10**12):  # said at once, however many
        with pytest.raises(UserError, match=f"{parts} parts asked for"):
            kaldi_dir.split_dir(tmp_path / "d", parts)
        with pytest.raises(UserError, match=f"{parts} parts asked for"):
            kaldi_dir.split_dir(tmp_path / "d", parts, per_utterance=True)


def test_a_directory_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".", "..", "", "/"):
        with pytest.raises(UserError, match="is no name that a new directory can get; give the whole path"):
            kaldi_dir.put_dir(Path(name), tables())


def test_split_by_utterance_and_only_when_older(tmp_path):
    kaldi_dir.put_dir(tmp_path / "d", tables())
    target = kaldi_dir.split_dir(tmp_path / "d", 4, per_utterance=True)
    assert target.name == "split4utt"
    assert [len(read_table(target / str(n) / "text")) for n in (1, 2, 3, 4)] == [3, 3, 2, 2]
    before = (target / "1/text").stat().st_mtime_ns
    kaldi_dir.split_dir(tmp_path / "d", 4, per_utterance=True)
    assert (target / "1/text").stat().st_mtime_ns == before
    later = before + 10**9
    os.utime(tmp_path / "d/text", ns=(later, later))
    kaldi_dir.split_dir(tmp_path / "d", 4, per_utterance=True)
    assert (target / "1/text").stat().st_mtime_ns != before
    with pytest.raises(UserError, match="11 parts asked for, but there are 10 utterances"):
        kaldi_dir.split_dir(tmp_path / "d", 11, per_utterance=True)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.data())
def test_split_by_speaker_cannot_be_evened_out_further(sizes, data):
    parts = data.draw(st.integers(1, len(sizes)))
    utt2spk = {f"{s:02d}-{u:02d}": f"{s:02d}" for s, n in enumerate(sizes) for u in range(n)}
    pieces = kaldi_dir._cut_by_speaker(utt2spk, parts, "d")
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


def test_fix(tmp_path):
    made = tables()
    kaldi_dir.put_dir(tmp_path / "d", made)
    text = (tmp_path / "d/text").read_text().splitlines()
    text = [line for line in text if not line.startswith("40ac0002")]
    text[0] = text[0].split()[0]  # no words
    (tmp_path / "d/text").write_text("\n".join([*reversed(text), "46kc0001 AGAIN"]) + "\n")
    broken = (tmp_path / "d/text").read_bytes()
    (tmp_path / "d/wav.scp").write_text("".join(f"{u} {p}\n" for u, p in made["wav.scp"].items() if u[:3] != "47a"))
    (tmp_path / "d/spk2utt").write_text("rubbish\n")
    assert kaldi_dir.fix_dir(tmp_path / "d") == (6, 10)
    validate(tmp_path / "d", feats=False)
    assert list(read_table(tmp_path / "d/text")) == [
        "01ac0002",
        "01bc0001",
        "40ac0001",
        "40ac0003",
        "46kc0001",
        "46kc0002",
    ]
    assert read_table(tmp_path / "d/text")["46kc0001"] == "WORDS OF 46KC0001"  # of two lines the first stays
    assert list(read_table(tmp_path / "d/spk2gender")) == ["01a", "01b", "40a", "46k"]
    assert (tmp_path / "d/.backup/text").read_bytes() == broken
    after = (tmp_path / "d/text").read_bytes()
    assert kaldi_dir.fix_dir(tmp_path / "d") == (6, 6)
    assert (tmp_path / "d/text").read_bytes() == after


def test_fix_drops_speakers_without_gender_and_refuses_to_empty(tmp_path):
    kaldi_dir.put_dir(tmp_path / "d", tables())
    (tmp_path / "d/spk2gender").write_text("46k f\n")
    assert kaldi_dir.fix_dir(tmp_path / "d") == (2, 10)
    (tmp_path / "d/text").write_text("nobody WORDS\n")
    before = (tmp_path / "d/utt2spk").read_bytes()
    with pytest.raises(UserError, match="no utterance is in all of"):
        kaldi_dir.fix_dir(tmp_path / "d")
    assert (tmp_path / "d/utt2spk").read_bytes() == before
    kaldi_dir.put_dir(tmp_path / "s", segmented())
    (tmp_path / "s/wav.scp").write_text("rec2 /audio/2.wav\n")
    assert kaldi_dir.fix_dir(tmp_path / "s") == (1, 3)
    assert (tmp_path / "s/segments").read_text() == "bc0001 rec2 0 9\n"


def test_fix_writes_marks_and_dos_ends_away(tmp_path):
    kaldi_dir.put_dir(tmp_path / "d", tables())
    clean = {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    for name, data in clean.items():
        (tmp_path / "d" / name).write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
    with pytest.raises(UserError, match="utt2spk:1: begins with a byte-order mark"):
        validate(tmp_path / "d", feats=False)
    assert kaldi_dir.fix_dir(tmp_path / "d") == (10, 10)
    validate(tmp_path / "d", feats=False)
    assert {name: (tmp_path / "d" / name).read_bytes() for name in clean} == clean
    (tmp_path / "d/text").write_bytes(clean["text"].replace(b"WORDS OF", b"WORDS\rOF"))
    kaldi_dir.fix_dir(tmp_path / "d")
    assert (tmp_path / "d/text").read_bytes() == clean["text"]


def test_columns_are_cut_as_kaldi_cuts_them():
    assert kaldi_dir.columns(" a\tb  c\x0b d\r\n") == ["a", "b", "c", "d"]
    assert kaldi_dir.columns("\u3000 a\u00a0b \x1c\x85") == ["\u3000", "a\u00a0b", "\x1c\x85"]
    assert kaldi_dir.columns(" ") == []


def test_tables_with_tabs_are_cut_and_joined(tmp_path):
    made = segmented()
    kaldi_dir.put_dir(tmp_path / "d", made)
    for name in ("segments", "wav.scp", "text", "utt2spk"):
        path = tmp_path / "d" / name
        path.write_text(path.read_text().replace(" ", "\t"))
    kaldi_dir.write_subset(tmp_path / "d", tmp_path / "e", ["ac0002"])
    assert (tmp_path / "e/wav.scp").read_text() == "rec1 /audio/1.wav\n"
    assert kaldi_dir.fix_dir(tmp_path / "d") == (3, 3)
    validate(tmp_path / "d", feats=False)


def recordings(*utterances, **more):
    """A directory's tables without features."""
    return {
        "utt2spk": {u: u.partition("-")[0] for u in utterances},
        "text": {u: "ONE" for u in utterances},
        "wav.scp": {u: f"/audio/{u}.wav" for u in utterances},
    } | more


def test_combine_makes_the_segments_that_some_lack(tmp_path):
    kaldi_dir.put_dir(tmp_path / "a", recordings("a-1", segments={"a-1": "a-1 0.20 0.40"}))
    kaldi_dir.put_dir(tmp_path / "b", recordings("b-1", "b-2"))
    kaldi_dir.put_dir(tmp_path / "c", recordings("c-1", utt2dur={"c-1": "2.5"}))
    for sources in (("a", "b", "c"), ("c", "b", "a")):
        target = tmp_path / "".join(sources)
        assert kaldi_dir.combine_dirs(target, [tmp_path / name for name in sources]) == (4, ["utt2dur", "reco2dur"])
        assert read_table(target / "segments") == {
            "a-1": "a-1 0.20 0.40",
            "b-1": "b-1 0 -1",
            "b-2": "b-2 0 -1",
            "c-1": "c-1 0 2.5",
        }
        validate(target, feats=False)
    assert not (tmp_path / "b/segments").exists()


def test_combine_without_any_segments_makes_none(tmp_path):
    for name in "ab":
        kaldi_dir.put_dir(tmp_path / name, recordings(f"{name}-1"))
    assert kaldi_dir.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"]) == (2, [])
    assert not (tmp_path / "c/segments").exists()


def test_combine_completes_the_recordings_durations(tmp_path):
    cut = {"segments": {"a-1": "r 0.2 0.4"}, "wav.scp": {"r": "/audio/r.wav"}}
    cut |= {"utt2dur": {"a-1": "0.2"}, "reco2dur": {"r": "9"}, "reco2file_and_channel": {"r": "r A"}}
    kaldi_dir.put_dir(tmp_path / "a", recordings("a-1") | cut)
    kaldi_dir.put_dir(tmp_path / "b", recordings("b-1", utt2dur={"b-1": "2.5"}))
    assert kaldi_dir.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"]) == (2, ["reco2file_and_channel"])
    assert read_table(tmp_path / "c/reco2dur") == {"b-1": "2.5", "r": "9"}
    assert read_table(tmp_path / "c/wav.scp") == {"b-1": "/audio/b-1.wav", "r": "/audio/r.wav"}
    validate(tmp_path / "c", feats=False)


def test_combine_leaves_segments_out_where_there_is_nothing_to_cut(tmp_path):
    made = features({"a": 1})
    kaldi_dir.put_dir(tmp_path / "a", {**made, "wav.scp": {"r": "/r.wav"}, "segments": {"ac0001": "r 0.2 0.4"}})
    kaldi_dir.put_dir(tmp_path / "b", features({"b": 1}))
    assert kaldi_dir.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"]) == (2, ["segments", "wav.scp"])
    validate(tmp_path / "c", wav=False)


def test_a_recording_of_two_directories_has_to_be_the_same(tmp_path):
    kaldi_dir.put_dir(tmp_path / "a", recordings("a-1", segments={"a-1": "b-1 0 1"}) | {"wav.scp": {"b-1": "/x.wav"}})
    kaldi_dir.put_dir(tmp_path / "b", recordings("b-1"))
    with pytest.raises(UserError, match=r"b/wav\.scp: b-1 is in another of the directories too"):
        kaldi_dir.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize("length", ["long", "nan", ""])
def test_shortest_needs_numbers(length):
    made = {"utt2dur": {"a": "1", "b": length}}
    with pytest.raises(UserError, match=rf"--shortest: b has the length {length!r}, expected a number"):
        kaldi_dir.select_shortest(made, 1)


def test_a_path_that_is_not_utf8_is_named(tmp_path):
    with pytest.raises(UserError, match=r"wav\.scp: 'a-1' has '/x/\\udcff.wav', which is not UTF-8; rename the file"):
        kaldi_dir.put_dir(tmp_path / "d", {"utt2spk": {"a-1": "a"}, "wav.scp": {"a-1": "/x/\udcff.wav"}})
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("affix", ["a b", "x\t", "\n", "\udcff"])
def test_affixes_that_no_id_can_have(tmp_path, affix):
    kaldi_dir.put_dir(tmp_path / "a", tables({"s": 2}))
    for spk, utt in (((affix, ""), ("", "")), (("", ""), ("", affix))):
        with pytest.raises(UserError, match="cannot be part of an id"):
            kaldi_dir.copy_dir(tmp_path / "a", tmp_path / "b", spk, utt)
    assert not (tmp_path / "b").exists()


def test_nothing_else_is_lost_to_a_split_or_a_mend(tmp_path):
    """What is no part of a split is not replaced by one, and no link of a stranger's is written through."""
    kaldi_dir.put_dir(tmp_path / "d", tables())
    (tmp_path / "d/split3").mkdir()
    (tmp_path / "d/split3/thesis.tex").write_text("years")
    with pytest.raises(UserError, match=r"split3: holds thesis\.tex, which is no part of a split"):
        kaldi_dir.split_dir(tmp_path / "d", 3)
    assert (tmp_path / "d/split3/thesis.tex").read_text() == "years"
    (tmp_path / "precious").write_text("text")
    (tmp_path / "d/.backup").mkdir()
    (tmp_path / "d/.backup/text").symlink_to(tmp_path / "precious")
    kaldi_dir.fix_dir(tmp_path / "d")
    assert (tmp_path / "precious").read_text() == "text" and not (tmp_path / "d/.backup/text").is_symlink()
    (tmp_path / "away").mkdir()
    shutil.rmtree(tmp_path / "d/.backup")
    (tmp_path / "d/.backup").symlink_to(tmp_path / "away")
    with pytest.raises(UserError, match=r"\.backup: is a link, and nothing is written through it"):
        kaldi_dir.fix_dir(tmp_path / "d")
    assert list((tmp_path / "away").iterdir()) == []


def test_statistics_of_other_features_are_not_added_up(tmp_path):
    for name, values in (("a", (1.0, 2.0)), ("b", (1.0,))):
        kaldi_dir.put_dir(tmp_path / name, renamed(tables(), name))
        cmvn(tmp_path / name / "cmvn.npz", 10, *values)
    with pytest.raises(UserError, match=r"b/cmvn\.npz: has 1 bins, \S+a/cmvn\.npz has 2; join sets"):
        kaldi_dir.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"])
    assert not (tmp_path / "c").exists()


def renamed(made, prefix):
    """Tables whose utterances and speakers are another set's."""
    rows = {name: {f"{prefix}{key}": value for key, value in table.items()} for name, table in made.items()}
    return rows | {"utt2spk": {key: f"{prefix}{value}" for key, value in rows["utt2spk"].items()}}


def test_of_equally_short_ones_the_first_by_bytes():
    made = features()
    names = list(made["utt2spk"])
    for lengths in ({u: "5" for u in reversed(names)}, {u: "5" if n % 2 else "5.0" for n, u in enumerate(names)}):
        made["utt2num_frames"] = lengths
        assert kaldi_dir.select_shortest(made, 4) == sorted(names)[:4]
    made["utt2num_frames"] = {"b": "9", "B": "9", "a": "10", "\u00e9": "9", "c": "2"}  # numbers, not texts
    assert kaldi_dir.select_shortest(made, 5) == ["c", "B", "b", "\u00e9", "a"]
    del made["utt2num_frames"]
    made["utt2dur"] = {"b": "0.5", "a": "0.25", "c": "1e-1"}
    assert kaldi_dir.select_shortest(made, 2) == ["c", "a"]


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_speakers_utterances_are_spread(size, count):
    utt2spk = {f"s-{n:02}": "s" for n in range(size)} | {"t-00": "t"}
    chosen = kaldi_dir.select_per_speaker(utt2spk, count)
    step = max(1, size // count)
    assert chosen == [f"s-{n * step:02}" for n in range(min(count, -(-size // step)))] + ["t-00"]
    assert len(chosen) == min(size, count) + 1


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_pieces_are_even_and_the_larger_ones_first(pair):
    keys, parts = [str(n) for n in range(pair[0])], pair[1]
    pieces = kaldi_dir._cut_evenly(keys, parts)
    assert [key for piece in pieces for key in piece] == keys
    sizes = [len(piece) for piece in pieces]
    assert len(sizes) == parts and sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[-1] <= 1


def test_whichever_table_is_newer_the_split_is_made_again(tmp_path):
    kaldi_dir.put_dir(tmp_path / "d", tables())
    for path in (tmp_path / "d").iterdir():
        os.utime(path, (1000, 1000))
    place = kaldi_dir.split_dir(tmp_path / "d", 2)
    number = place.stat().st_ino
    assert kaldi_dir.split_dir(tmp_path / "d", 2).stat().st_ino == number
    for name in tables():
        newest = max(path.stat().st_mtime for path in place.glob("*/*")) + 10
        os.utime(tmp_path / "d" / name, (newest, newest))
        again = kaldi_dir.split_dir(tmp_path / "d", 2).stat().st_ino
        assert again != number, name
        os.utime(tmp_path / "d" / name, (1000, 1000))
        number = again
        assert kaldi_dir.split_dir(tmp_path / "d", 2).stat().st_ino == number


def test_tables_are_written_in_the_order_of_bytes(tmp_path):
    keys = ["b", "B", "a-1", "a", "\u00e9", "Z", "_", "10", "9", "\uffff", "\U00010000"]
    kaldi_dir.put_dir(
        tmp_path / "d", {"utt2spk": {key: key for key in keys}, "text": dict.fromkeys(reversed(keys), "x")}
    )
    for name in ("utt2spk", "text", "spk2utt"):
        written = [line.split(b" ")[0] for line in (tmp_path / "d" / name).read_bytes().splitlines()]
        assert written == sorted(key.encode() for key in keys)


def test_joined_statistics_are_those_of_all_or_of_nobody(tmp_path):
    made = [features({"01a": 2}), features({"02b": 1}), features({"03c": 1})]
    for number, one in enumerate(made):
        kaldi_dir.put_dir(tmp_path / str(number), one)
    cmvn(tmp_path / "0" / "cmvn.npz", 10, 1.0, 2.0)
    cmvn(tmp_path / "1" / "cmvn.npz", 30, 3.0, 5.0)
    sources = [tmp_path / str(number) for number in range(3)]
    kaldi_dir.combine_dirs(tmp_path / "two", sources[:2])
    with np.load(tmp_path / "two" / "cmvn.npz") as stats:
        assert (stats["count"], stats["sum"].tolist(), stats["sum_square"].tolist()) == (40, [4, 7], [10, 29])
    for order in itertools.permutations(sources):
        shutil.rmtree(tmp_path / "three", ignore_errors=True)
        kaldi_dir.combine_dirs(tmp_path / "three", order)
        assert not (tmp_path / "three" / "cmvn.npz").exists()


def test_an_utterance_is_in_one_directory_even_with_the_same_rows(tmp_path):
    for name in ("a", "b"):
        kaldi_dir.put_dir(tmp_path / name, tables({"01a": 2}))
    with pytest.raises(UserError, match=r"b/\S+: 01ac0001 is in another of the directories too"):
        kaldi_dir.combine_dirs(tmp_path / "both", [tmp_path / "a", tmp_path / "b"])


def test_a_mend_takes_the_first_of_a_keys_lines(tmp_path):
    kaldi_dir.put_dir(tmp_path / "d", tables({"01a": 3}))
    text = tmp_path / "d" / "text"
    text.write_text("01ac0002 SECOND\n01ac0001 FIRST\n01ac0002 LATER\n01ac0003\n01ac0001\n")
    assert kaldi_dir.fix_dir(tmp_path / "d") == (2, 3)
    assert read_table(text) == {"01ac0001": "FIRST", "01ac0002": "SECOND"}
    assert list(read_table(tmp_path / "d" / "utt2spk")) == ["01ac0001", "01ac0002"]
