"""Copies under other ids, and several directories as one."""

import itertools
import shutil

import numpy as np
import pytest
from kaldi_dirs import cmvn, features, segmented, tables

from kdasr.data import joined
from kdasr.data.kaldi_check import validate
from kdasr.data.kaldi_dir import put_dir
from kdasr.errors import UserError
from kdasr.files import read_table


def test_copy_renames_everywhere(tmp_path):
    put_dir(tmp_path / "a", tables({"s": 2}))
    joined.copy_dir(tmp_path / "a", tmp_path / "b", ("sp0.9-", "-x"), ("sp0.9-", "-y"))
    assert read_table(tmp_path / "b/utt2spk") == {"sp0.9-sc0001-y": "sp0.9-s-x", "sp0.9-sc0002-y": "sp0.9-s-x"}
    assert read_table(tmp_path / "b/spk2gender") == {"sp0.9-s-x": "m"}
    assert read_table(tmp_path / "b/text") == {"sp0.9-sc0001-y": "WORDS OF SC0001", "sp0.9-sc0002-y": "WORDS OF SC0002"}
    assert read_table(tmp_path / "b/wav.scp") == {
        "sp0.9-sc0001-y": "/audio/sc0001.wv1",
        "sp0.9-sc0002-y": "/audio/sc0002.wv1",
    }


def test_combine(tmp_path):
    put_dir(tmp_path / "a", features({"01a": 2}))
    more = features({"02a": 1})
    more["utt2uniq"] = {"02ac0001": "orig"}
    del more["utt2dur"]
    put_dir(tmp_path / "b", more)
    cmvn(tmp_path / "a/cmvn.npz", 10, 1.0, 2.0)
    cmvn(tmp_path / "b/cmvn.npz", 5, 0.5, 4.0)
    assert joined.combine_dirs(tmp_path / "c", [tmp_path / "b", tmp_path / "a"]) == (3, ["utt2dur"])
    validate(tmp_path / "c", wav=False)
    assert list(read_table(tmp_path / "c/feats.scp")) == ["01ac0001", "01ac0002", "02ac0001"]
    assert read_table(tmp_path / "c/utt2uniq") == {"01ac0001": "01ac0001", "01ac0002": "01ac0002", "02ac0001": "orig"}
    with np.load(tmp_path / "c/cmvn.npz") as total:
        assert total["count"] == 15
        np.testing.assert_array_equal(total["sum"], [1.5, 6.0])
        np.testing.assert_array_equal(total["sum_square"], [1.25, 20.0])
    (tmp_path / "b/cmvn.npz").unlink()
    joined.combine_dirs(tmp_path / "c", [tmp_path / "b", tmp_path / "a"])
    assert not (tmp_path / "c/cmvn.npz").exists()
    with pytest.raises(UserError, match=r"c/utt2spk: 01ac0001 is in another"):
        joined.combine_dirs(tmp_path / "d", [tmp_path / "a", tmp_path / "c"])
    with pytest.raises(UserError, match="is one of the sources"):
        joined.combine_dirs(tmp_path / "a", [tmp_path / "a", tmp_path / "b"])


def recordings(*utterances, **more):
    """A directory's tables without features."""
    return {
        "utt2spk": {u: u.partition("-")[0] for u in utterances},
        "text": {u: "ONE" for u in utterances},
        "wav.scp": {u: f"/audio/{u}.wav" for u in utterances},
    } | more


def test_combine_makes_the_segments_that_some_lack(tmp_path):
    put_dir(tmp_path / "a", recordings("a-1", segments={"a-1": "a-1 0.20 0.40"}))
    put_dir(tmp_path / "b", recordings("b-1", "b-2"))
    put_dir(tmp_path / "c", recordings("c-1", utt2dur={"c-1": "2.5"}))
    for sources in (("a", "b", "c"), ("c", "b", "a")):
        target = tmp_path / "".join(sources)
        assert joined.combine_dirs(target, [tmp_path / name for name in sources]) == (4, ["utt2dur", "reco2dur"])
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
        put_dir(tmp_path / name, recordings(f"{name}-1"))
    assert joined.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"]) == (2, [])
    assert not (tmp_path / "c/segments").exists()


def test_combine_completes_the_recordings_durations(tmp_path):
    cut = {"segments": {"a-1": "r 0.2 0.4"}, "wav.scp": {"r": "/audio/r.wav"}}
    cut |= {"utt2dur": {"a-1": "0.2"}, "reco2dur": {"r": "9"}, "reco2file_and_channel": {"r": "r A"}}
    put_dir(tmp_path / "a", recordings("a-1") | cut)
    put_dir(tmp_path / "b", recordings("b-1", utt2dur={"b-1": "2.5"}))
    assert joined.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"]) == (2, ["reco2file_and_channel"])
    assert read_table(tmp_path / "c/reco2dur") == {"b-1": "2.5", "r": "9"}
    assert read_table(tmp_path / "c/wav.scp") == {"b-1": "/audio/b-1.wav", "r": "/audio/r.wav"}
    validate(tmp_path / "c", feats=False)


def test_combine_leaves_segments_out_where_there_is_nothing_to_cut(tmp_path):
    made = features({"a": 1})
    put_dir(tmp_path / "a", {**made, "wav.scp": {"r": "/r.wav"}, "segments": {"ac0001": "r 0.2 0.4"}})
    put_dir(tmp_path / "b", features({"b": 1}))
    assert joined.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"]) == (2, ["segments", "wav.scp"])
    validate(tmp_path / "c", wav=False)


def test_a_recording_of_two_directories_has_to_be_the_same(tmp_path):
    put_dir(tmp_path / "a", recordings("a-1", segments={"a-1": "b-1 0 1"}) | {"wav.scp": {"b-1": "/x.wav"}})
    put_dir(tmp_path / "b", recordings("b-1"))
    with pytest.raises(UserError, match=r"b/wav\.scp: b-1 is in another of the directories too"):
        joined.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize("affix", ["a b", "x\t", "\n", "\udcff"])
def test_affixes_that_no_id_can_have(tmp_path, affix):
    put_dir(tmp_path / "a", tables({"s": 2}))
    for spk, utt in (((affix, ""), ("", "")), (("", ""), ("", affix))):
        with pytest.raises(UserError, match="cannot be part of an id"):
            joined.copy_dir(tmp_path / "a", tmp_path / "b", spk, utt)
    assert not (tmp_path / "b").exists()


def renamed(made, prefix):
    """Tables whose utterances and speakers are another set's."""
    rows = {name: {f"{prefix}{key}": value for key, value in table.items()} for name, table in made.items()}
    return rows | {"utt2spk": {key: f"{prefix}{value}" for key, value in rows["utt2spk"].items()}}


def test_statistics_of_other_features_are_not_added_up(tmp_path):
    for name, values in (("a", (1.0, 2.0)), ("b", (1.0,))):
        put_dir(tmp_path / name, renamed(tables(), name))
        cmvn(tmp_path / name / "cmvn.npz", 10, *values)
    with pytest.raises(UserError, match=r"b/cmvn\.npz: has 1 bins, \S+a/cmvn\.npz has 2; join sets"):
        joined.combine_dirs(tmp_path / "c", [tmp_path / "a", tmp_path / "b"])
    assert not (tmp_path / "c").exists()


def test_joined_statistics_are_those_of_all_or_of_nobody(tmp_path):
    made = [features({"01a": 2}), features({"02b": 1}), features({"03c": 1})]
    for number, one in enumerate(made):
        put_dir(tmp_path / str(number), one)
    cmvn(tmp_path / "0" / "cmvn.npz", 10, 1.0, 2.0)
    cmvn(tmp_path / "1" / "cmvn.npz", 30, 3.0, 5.0)
    sources = [tmp_path / str(number) for number in range(3)]
    joined.combine_dirs(tmp_path / "two", sources[:2])
    with np.load(tmp_path / "two" / "cmvn.npz") as stats:
        assert (stats["count"], stats["sum"].tolist(), stats["sum_square"].tolist()) == (40, [4, 7], [10, 29])
    for order in itertools.permutations(sources):
        shutil.rmtree(tmp_path / "three", ignore_errors=True)
        joined.combine_dirs(tmp_path / "three", order)
        assert not (tmp_path / "three" / "cmvn.npz").exists()


def test_an_utterance_is_in_one_directory_even_with_the_same_rows(tmp_path):
    for name in ("a", "b"):
        put_dir(tmp_path / name, tables({"01a": 2}))
    with pytest.raises(UserError, match=r"b/\S+: 01ac0001 is in another of the directories too"):
        joined.combine_dirs(tmp_path / "both", [tmp_path / "a", tmp_path / "b"])


def test_copied_segments_keep_their_recordings(tmp_path):
    put_dir(tmp_path / "d", segmented())
    validate(tmp_path / "d", feats=False)
    joined.copy_dir(tmp_path / "d", tmp_path / "f", ("x-", ""), ("x-", ""))
    assert read_table(tmp_path / "f/wav.scp") == segmented()["wav.scp"]
    assert read_table(tmp_path / "f/segments")["x-ac0001"] == "rec1 0.0 1.5"
    validate(tmp_path / "f", feats=False)


def test_ids_with_something_behind_them_are_sorted_again(tmp_path):
    """`a+` stands behind `a-b+` in the order of bytes only if what is behind `a` does."""
    put_dir(tmp_path / "d", {"utt2spk": {"a": "s", "a!b": "s", "aa": "t"}, "text": {"a": "A", "a!b": "B", "aa": "C"}})
    joined.copy_dir(tmp_path / "d", tmp_path / "e", ("", "~"), ("", "~"))
    assert (tmp_path / "e/text").read_text() == "a!b~ B\naa~ C\na~ A\n"
    assert (tmp_path / "e/utt2spk").read_text() == "a!b~ s~\naa~ t~\na~ s~\n"
    assert (tmp_path / "e/spk2utt").read_text() == "s~ a!b~ a~\nt~ aa~\n"


def test_what_some_lack_is_said_of_every_utterance_of_theirs(tmp_path):
    put_dir(tmp_path / "a", recordings("a-1", utt2speed={"a-1": "0.9"}, utt2dur={"a-1": "3"}))
    put_dir(tmp_path / "b", recordings("b-2", "b-1", utt2dur={"b-1": "2.5", "b-2": "1.5"}))
    assert joined.combine_dirs(tmp_path / "c", [tmp_path / "b", tmp_path / "a"]) == (3, [])
    assert read_table(tmp_path / "c/utt2speed") == {"a-1": "0.9", "b-1": "1.0", "b-2": "1.0"}
    put_dir(tmp_path / "d", recordings("d-1", segments={"d-1": "d-1 0 1"}, utt2dur={"d-1": "1"}))
    assert joined.combine_dirs(tmp_path / "e", [tmp_path / "a", tmp_path / "b", tmp_path / "d"]) == (4, [])
    # durations of copies at other speeds are not those of their recordings
    assert read_table(tmp_path / "e/segments") == {
        "a-1": "a-1 0 -1", "b-1": "b-1 0 -1", "b-2": "b-2 0 -1", "d-1": "d-1 0 1",
    }  # fmt: skip


def test_speakers_of_several_directories_are_one_if_they_are_alike(tmp_path):
    for name, gender in (("a", "m"), ("b", "m"), ("c", "f")):
        put_dir(tmp_path / name, recordings(f"s-{name}", spk2gender={"s": gender}))
    assert joined.combine_dirs(tmp_path / "d", [tmp_path / "a", tmp_path / "b"])[0] == 2
    assert read_table(tmp_path / "d/spk2gender") == {"s": "m"}
    assert (tmp_path / "d/spk2utt").read_text() == "s s-a s-b\n"
    with pytest.raises(UserError, match=r"c/spk2gender: s is in another of the directories too"):
        joined.combine_dirs(tmp_path / "e", [tmp_path / "a", tmp_path / "c"])
    assert not (tmp_path / "e").exists()
