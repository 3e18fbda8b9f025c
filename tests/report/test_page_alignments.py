"""What the page knows of each utterance: alignments, packed, and the data of its browser."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_inputs import aligned, utterances, write_scored
from test_report_table import REFERENCES, SEQUENCE, exp, write_decode, write_model  # noqa: F401 - a fixture

from kdasr.errors import UserError
from kdasr.report import (
    alignments,
    browser,
    collect,
)
from kdasr.report.alignments import Alignment, most_changed, pack
from kdasr.score.align import align


def test_most_changed_first():
    teacher = {"a": 0, "b": 2, "c": 1, "d": 4, "e": 1}
    student = {"a": 3, "b": 2, "c": 4, "d": 1, "e": 1}
    # apart by 3: d (at most 4), c (4), a (3); d and c by name; b and e not apart: b has more errors
    assert most_changed([teacher, student], "edcba") == ["c", "d", "a", "b", "e"]
    assert most_changed([teacher, student, {"e": 9}], "edcba")[0] == "e"
    assert most_changed([{}], ["y", "x"]) == ["x", "y"]


@pytest.mark.parametrize(
    "ref, hyp, operations, wanted",
    [
        ("a b c", "a b c", "CCC", ""),
        ("a b c", "a x c", "CSC", "=1 /x"),
        ("a b c", "b c", "DCC", "-"),
        ("a b", "a b c d", "CCII", "=2 +c +d"),
        ("a b", "A b", "CC", "~A"),
        ("", "x", "I", "+x"),
        ("a = -", "=5 /x -", "SSC", "/=5 //x"),
    ],
)
def test_an_alignment_is_packed(ref, hyp, operations, wanted):
    assert pack(Alignment(tuple(ref.split()), tuple(hyp.split()), operations)) == wanted


def unpack(reference, packed):
    """As report.js does it."""
    steps, at = [], 0
    for token in packed.split(" ") if packed else []:
        kind, rest = token[0], token[1:]
        if kind == "=":
            for _ in range(int(rest)):
                steps.append(("C", reference[at], reference[at]))
                at += 1
        elif kind == "+":
            steps.append(("I", "", rest))
        else:
            steps.append(({"/": "S", "~": "C", "-": "D"}[kind], reference[at], rest))
            at += 1
    return steps + [("C", word, word) for word in reference[at:]]


words = st.lists(st.sampled_from(["a", "A", "b", "=5", "/x", "-", "+y", "~z", "***", "a*"]), max_size=8)


@given(words, words)
def test_what_is_packed_is_unpacked(ref, hyp):
    steps = align(ref, hyp)
    one = Alignment(tuple(ref), tuple(hyp), "".join(op for op, _, _ in steps))
    assert unpack(ref, pack(one)) == [tuple(step) for step in steps]
    assert one.errors == sum(op != "C" for op, _, _ in steps)


def test_alignments_are_read_back_as_they_were_scored(tmp_path, capsys):
    model = write_model(tmp_path / "exp", "m", REFERENCES, 1000)
    refs = utterances(20)
    write_scored(tmp_path, model, "beam", "test", refs, 0.4, 3, 1.0)
    (system,) = collect.systems(tmp_path / "exp")
    found = alignments.read(system.scored["beam", "test"])
    said = dict(line.partition(" ")[::2] for line in (model / "decode_beam/test/text").read_text().splitlines())
    assert list(found) == sorted(refs)
    for name, one in found.items():
        assert (list(one.ref), list(one.hyp)) == (refs[name], said[name].split())
        assert one.operations == "".join(op for op, _, _ in align(one.ref, one.hyp))
        assert one.errors == system.scored["beam", "test"].utterances[name][0]
    assert any("***" in one.ref for one in found.values())  # a word that looks like a gap is none


def test_damaged_alignments_are_named(exp):  # noqa: F811
    path = exp / "teacher/decode_beam/test/score_wer/per_utt"
    path.write_text("u0 ref a b\nu0 hyp a b\nu0 op C\n" + path.read_text())
    scored = collect.systems(exp)[0].scored["beam", "test"]
    with pytest.raises(UserError, match="per_utt:4: the lines of u0 differ in length"):
        alignments.read(scored)


def with_texts(texts):
    """Systems of one set and tag: {system: {utterance: (reference, hypothesis)}}."""
    every, read = [], {}
    for name, lines in texts.items():
        read[name, ("beam", "test")] = found = {key: aligned(*pair) for key, pair in lines.items()}
        counts = {key: (one.errors, len(one.ref)) for key, one in found.items()}
        scored = {("beam", "test"): collect.Scored("beam", "test", {}, {"wer": 1.0}, {}, counts)}
        every.append(collect.System(name, {"label": name, "seed": 1}, None, scored))
    return every, read


def test_the_browsers_data():
    every, read = with_texts(
        {
            "one": {"u1": ("a b c", "a b c"), "u2": ("d e", "d")},
            "two": {"u1": ("a b c", "x b c"), "u2": ("D e", "D e")},
            "figures alone": {"u1": ("a b c", "a"), "u2": ("d e", "d e")},
        }
    )
    del read["figures alone", ("beam", "test")]
    data, told = browser.gather(every, read)
    assert data["labels"] == ["one", "two", "figures alone"]
    assert data["sets"] == [{"name": "test", "ids": ["u1", "u2"], "refs": ["a b c", "d e"], "words": [3, 2]}]
    assert data["scored"] == [
        {"system": 0, "set": 0, "tag": "beam", "hyps": ["", "=1 -"]},
        {"system": 1, "set": 0, "tag": "beam", "hyps": ["/x", None]},  # u2 has another reference
        {"system": 2, "set": 0, "tag": "beam", "errors": [2, 0]},
    ]
    assert told == [
        "two, test beam: 1 utterances were scored on other references than those of systems before it; they are not "
        "shown for it."
    ]


def test_a_large_set_keeps_what_changed_most():
    lines = {f"u{k:03d}": ("a b c d e f", "a b c d e f") for k in range(100)}
    worse = lines | {"u050": ("a b c d e f", "x y z d e f"), "u007": ("a b c d e f", "x b c d e f")}
    every, read = with_texts({"one": lines, "two": worse})
    whole = len(json.dumps(browser.gather(every, read)[0]))
    data, told = browser.gather(every, read, room=320)
    kept = data["sets"][0]["ids"]
    assert kept[0] == "u000" and {"u007", "u050"} <= set(kept) and kept == sorted(kept)
    assert 5 < len(kept) < 15 and len(json.dumps(data)) < whole / 4
    assert told[0].startswith(f"test: the {len(kept)} of 100 utterances")


def test_sets_share_the_room_by_their_size_in_bytes():
    """Two sets of as many utterances, one in letters of three bytes: each keeps the same part of what it has."""
    every, read = [], {}
    for name, texts in (("one", "aaaa bbbb"), ("two", "aaaa bbbb")):
        scored = {}
        for part in ("dev", "test"):
            lines = {
                f"{part}{k:03d}": (texts, texts)
                if part == "dev"
                else (texts.replace("a", "日").replace("b", "本"),) * 2
                for k in range(100)
            }
            read[name, ("beam", part)] = found = {key: aligned(*pair) for key, pair in lines.items()}
            counts = {key: (one.errors, len(one.ref)) for key, one in found.items()}
            scored["beam", part] = collect.Scored("beam", part, {}, {"wer": 1.0}, {}, counts)
        every.append(collect.System(name, {"label": name, "seed": 1}, None, scored))
    whole, told = browser.gather(every, read)
    assert [len(one["ids"]) for one in whole["sets"]] == [100, 100] and told == []
    size = len(json.dumps(whole, ensure_ascii=False).encode())
    for part in (0.25, 0.5, 0.75):
        data, told = browser.gather(every, read, room=int(size * part))
        made = len(json.dumps(data, ensure_ascii=False).encode())
        assert made == pytest.approx(size * part, rel=0.2), part
        kept = [len(one["ids"]) for one in data["sets"]]
        assert abs(kept[0] - kept[1]) <= 3 and len(told) == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8))
def test_most_changed_is_ordered_by_distance_then_errors_then_name(pairs):
    errors = [{f"u{k}": pair[side] for k, pair in enumerate(pairs)} for side in (0, 1)]
    order = most_changed(errors, errors[0])
    keys = [(-abs(a - b), -max(a, b), name) for name in order for a, b in [(errors[0][name], errors[1][name])]]
    assert keys == sorted(keys) and len(order) == len(pairs)
