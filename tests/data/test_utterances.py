"""Which utterances a data directory has: their order, their names at other speeds, and where they are cut."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.data.places import Place
from kdasr.data.utterances import LONGEST, Utterance, parse_segment, parse_speeds, plan
from kdasr.errors import UserError
from kdasr.files import write_table


def directory(path, names, segments=None, text=True):
    """A data directory of recordings; the speaker of an utterance is its first letter."""
    path.mkdir(parents=True, exist_ok=True)
    write_table(path / "wav.scp", {name: f"/audio/{name}.wav" for name in names})
    if segments is not None:
        write_table(path / "segments", segments)
    utterances = names if segments is None else list(segments)
    write_table(path / "utt2spk", {name: name[0] for name in utterances})
    if text:
        write_table(path / "text", {name: "A B" for name in utterances})
    return path


def test_a_row_by_hand(tmp_path):
    data = directory(tmp_path, ["r1", "r2"], {"a1": "r2 0.25 1.5", "b1": "r1 3 -1"})
    assert plan(data, parse_speeds("1.1")) == [
        Utterance("sp1.1-a1", "sp1.1-a", Place("/audio/r2.wav"), (0.25, 1.5), Fraction(11, 10), "a1"),
        Utterance("sp1.1-b1", "sp1.1-b", Place("/audio/r1.wav"), (3.0, -1.0), Fraction(11, 10), "b1"),
    ]
    (data / "segments").unlink()
    for name in ("utt2spk", "text"):
        write_table(data / name, {"r1": "r", "r2": "s"})
    assert plan(data, parse_speeds("1")) == [
        Utterance("r1", "r", Place("/audio/r1.wav"), None, Fraction(1), "r1"),
        Utterance("r2", "s", Place("/audio/r2.wav"), None, Fraction(1), "r2"),
    ]


ID = st.text(st.sampled_from("aAbBzZ09-_.é\uffff\U00010000"), min_size=1, max_size=4)


@given(st.lists(ID, min_size=1, max_size=8, unique=True), st.sampled_from(["1.0", "0.9,1.0", "1.1,0.9,1.0"]))
def test_utterances_stand_in_the_order_of_bytes(tmp_path_factory, names, speeds):
    rows = plan(directory(tmp_path_factory.mktemp("d"), names), parse_speeds(speeds))
    assert [row.name.encode() for row in rows] == sorted(row.name.encode() for row in rows)
    prefixes = {"1.0": "", "0.9": "sp0.9-", "1.1": "sp1.1-"}
    expected = {
        prefixes[speed] + name: (prefixes[speed] + name[0], Fraction(speed), name)
        for speed in speeds.split(",")
        for name in names
    }
    assert {row.name: (row.speaker, row.speed, row.source) for row in rows} == expected
    assert all(row.audio == Place(f"/audio/{row.source}.wav") and row.span is None for row in rows)


def test_speeds():
    assert parse_speeds("0.9, 1.0,1.1") == {"sp0.9-": Fraction(9, 10), "": 1, "sp1.1-": Fraction(11, 10)}
    assert parse_speeds("0.5,2,1.001") == {"sp0.5-": Fraction(1, 2), "sp2-": 2, "sp1.001-": Fraction(1001, 1000)}
    for wrong in ("", "0.499", "2.001", "1.0001", "0.9,0.90", "1,1.0", "0", "-1", "1/0", "inf", "nan", "1,,2"):
        with pytest.raises(UserError, match=r"--speed .*: expected different factors from 0\.5 to 2"):
            parse_speeds(wrong)


@pytest.mark.parametrize(
    ("row", "span"),
    [
        ("r 0 0.001", (0.0, 0.001)),
        ("r 1.5 2", (1.5, 2.0)),
        ("r\t1.5  2", (1.5, 2.0)),
        ("r 0 -1", (0.0, -1.0)),
        ("r 5 -1.0", (5.0, -1.0)),
        (f"r 0 {LONGEST - 1}", (0.0, LONGEST - 1)),
    ],
)
def test_segments_that_can_be(tmp_path, row, span):
    assert parse_segment(tmp_path / "segments", "u", row, {"r"}) == ("r", span)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("r 1 1", "goes from 1.0 to 1.0 s"),
        ("r 2 1", "goes from 2.0 to 1.0 s"),
        ("r -0.1 1", "goes from -0.1 to 1.0 s"),
        ("r -1 -1", "goes from -1.0 to -1.0 s"),
        ("r 0 -2", "goes from 0.0 to -2.0 s"),
        ("r 0 -0.5", "goes from 0.0 to -0.5 s"),
        ("r nan 1", "goes from nan to 1.0 s"),
        ("r 0 nan", "goes from 0.0 to nan s"),
        ("r 0 inf", "goes from 0.0 to inf s"),
        (f"r 0 {LONGEST}", "goes from 0.0 to 1000000000.0 s"),
        (f"r {LONGEST} -1", "goes from 1000000000.0 to -1.0 s"),
        ("r 0", "expected 'RECORDING START END' in seconds"),
        ("r 0 1 2", "expected 'RECORDING START END' in seconds"),
        ("r a b", "expected 'RECORDING START END' in seconds"),
        ("s 0 1", "is cut from s, which wav.scp lacks"),
    ],
)
def test_segments_that_cannot_be(tmp_path, row, said):
    with pytest.raises(UserError) as error:
        parse_segment(tmp_path / "segments", "u", row, {"r"})
    assert str(error.value).startswith(f"{tmp_path}/segments: u ") and said in str(error.value)


@pytest.mark.parametrize("table", ["utt2spk", "text", "wav.scp"])
def test_tables_of_other_utterances_are_refused(tmp_path, table):
    names = ["a", "b", "c"]
    for change, where in (({"a", "b"}, table), ({*names, "d"}, "wav.scp" if table != "wav.scp" else "utt2spk")):
        data = directory(tmp_path / str(len(change)), names)
        write_table(data / table, {name: "x" for name in change})
        lacking = "c" if len(change) == 2 else "d"
        with pytest.raises(UserError, match=rf"/{where}: {lacking} is missing \(1 utterances of"):
            plan(data, parse_speeds("1.0"))
    data = directory(tmp_path / "segmented", names, {"u": "a 0 1", "v": "b 0 1"})
    write_table(data / "segments", {"u": "a 0 1"})
    with pytest.raises(UserError, match=r"/segments: v is missing"):
        plan(data, parse_speeds("1.0"))


def test_an_id_that_a_perturbed_one_would_get_is_refused(tmp_path):
    data = directory(tmp_path, ["a", "sp0.9-a"])
    with pytest.raises(UserError, match=r"sp0\.9-a is an utterance and the name of a speed-perturbed one"):
        plan(data, parse_speeds("0.9,1.0"))
    assert len(plan(data, parse_speeds("1.1,1.0"))) == 4


def test_without_text_nothing_lacks(tmp_path):
    assert [row.name for row in plan(directory(tmp_path, ["a"], text=False), parse_speeds("1"))] == ["a"]
