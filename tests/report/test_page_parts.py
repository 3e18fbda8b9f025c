"""What the page is made of: gathered, put in order and packed, against values worked out by hand."""

import base64
import datetime
import io
import json
import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_inputs import utterances, write_log, write_scored
from test_report_table import REFERENCES, SEQUENCE, exp, write_decode, write_model  # noqa: F401 - a fixture

from kdasr.errors import UserError
from kdasr.report import (
    alignments,
    audio,
    browser,
    collect,
    compare,
    curves,
    headline,
    hypotheses,
    overview,
    plots,
    svg,
    table,
)
from kdasr.report.alignments import Alignment, most_changed, pack
from kdasr.score.align import align


@pytest.mark.parametrize(
    "points, wanted",
    [
        ([], []),
        ([(3, 3)], [0]),
        # 1 is beaten by 0 (same x), 3 by 2 (both), 4 is the best y; 5 has 4's y at a larger x
        ([(1, 9), (1, 10), (2, 5), (3, 6), (4, 1), (5, 1)], [0, 2, 4]),
        ([(2, 2), (1, 3), (3, 1)], [1, 0, 2]),
        ([(1, 1), (1, 1), (2, 1)], [0, 1]),  # equal points do not beat each other
    ],
)
def test_the_front_holds_what_no_other_point_beats(points, wanted):
    assert headline.front(points) == wanted


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_that_of_its_definition(points):
    def beaten(one):
        return any(x <= one[0] and y <= one[1] and (x, y) != one for x, y in points)

    assert sorted(headline.front(points)) == [k for k, one in enumerate(points) if not beaten(one)]


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


def test_curves_come_from_the_log(tmp_path):
    write_model(tmp_path, "m", "x", 10)
    write_log(tmp_path / "m", 3)
    points = curves.read(tmp_path / "m").points
    assert points["valid", "acc"] == [(50, 0.5), (100, 0.75), (150, 0.8333)]
    assert points["train", "loss"] == [(50, 10.0), (100, 5.0), (150, 3.3333)]
    assert points["valid", "loss"] == [(50, 12.0), (100, 6.0), (150, 4.0)]
    assert curves.read(tmp_path / "none").points == {}


def test_epochs_before_a_kill_come_from_the_checkpoint(tmp_path):
    torch = pytest.importorskip("torch")
    write_model(tmp_path, "m", "x", 10)
    write_log(tmp_path / "m", 3, first=3)
    kept = {"acc": 0.9, "loss": np.float64(7.5), "time": datetime.timedelta(seconds=3)}
    stats = {k: {"train": kept | {"total_count": 50 * k}, "valid": kept} for k in (1, 2, 3)}
    torch.save({"model": {}, "reporter": {"stats": stats, "epoch": 3}}, tmp_path / "m/checkpoint.pth")
    assert curves.read(tmp_path / "m").points["valid", "loss"] == [(50, 7.5), (100, 7.5), (150, 4.0)]
    (tmp_path / "m/checkpoint.pth").write_bytes(b"damaged")
    assert curves.read(tmp_path / "m").points["valid", "loss"] == [(150, 4.0)]


def write_archive(directory, records, nbest=2, **summary):
    from kdasr.nbest import archive
    from kdasr.shards import claim

    manifest = {"keys": archive.keys_digest(r["id"] for r in records), "utterances": len(records), "shards": 1}
    claim(directory, manifest | {"shard_size": 10, "search": {"beam": 4, "nbest": nbest, "normalize_length": False}})
    stats = {"begun": 0.0, "audio_seconds": 2.5, "cpu_seconds": 0.5, "wall_seconds": 0.75, "parts": {}}
    stats |= {"grid_rows": 20, "grid_alive": 15, "peak_bytes": 1000}
    archive.write_shard(directory, 0, records, stats)
    archive.summarise(directory)


def hyps(name, *texts):
    made = [
        {"tokens": [1], "text": text, "score": -1.0 - k, "scores": {"ctc": -1.0}, "ended": "eos"}
        for k, text in enumerate(texts)
    ]
    return {"id": name, "frames": 100, "hyps": made, "duplicates": 1, "stop": "end detected"}


RECORDS = [
    hyps("u1", "the cat sat", "a cat sat"),  # reference the cat sat: 0, then 0 errors
    hyps("u2", "one too tree", "one two tree"),  # one two three: 2, then 1
    hyps("u3", "", "yes"),  # yes: 1, then 0
]


def test_oracle_by_k_with_the_references_of_the_whole_that_a_part_was_decoded_of(tmp_path):
    teacher = write_model(tmp_path / "exp", "teacher", "teacher", 10)
    write_archive(teacher / "nbest_train_unlab0.5", RECORDS)
    (found,) = hypotheses.archives(tmp_path / "exp")
    assert (found.words, found.why) == (None, "no references found beside it (dump/*/SET/text)")
    for place, text in (("tra", "u1 wrong\n"), ("train", "u1 the cat sat\nu2 one two three\nu3 yes\nu4 more\n")):
        (tmp_path / "dump/fbank" / place).mkdir(parents=True)
        (tmp_path / "dump/fbank" / place / "text").write_text(text)
    (found,) = hypotheses.archives(tmp_path / "exp")
    assert (found.model, found.name, found.beam, found.nbest) == ("teacher", "train_unlab0.5", 4, 2)
    assert found.words == {"utterances": 3, "words": 7, "errors": [3, 1], "wer": [42.86, 14.29]}
    assert (found.summary["duplicates"], found.summary["empty"]) == (3, 1)
    assert found.why == "words counted on 3 of 3 utterances"
    (tmp_path / "dump/fbank/train/text").write_text("v1 other\n")
    assert hypotheses.archives(tmp_path / "exp")[0].why.endswith("train/text lacks its utterances")


def test_an_unfinished_or_damaged_archive_is_told_of_not_read(tmp_path):
    teacher = write_model(tmp_path / "exp", "teacher", "teacher", 10)
    write_archive(teacher / "nbest_train", RECORDS)
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/train/text").write_text("u1 the cat sat\n")
    shard = teacher / "nbest_train/nbest.0.jsonl"
    shard.write_text(shard.read_text().replace("tree", "free"))
    (found,) = hypotheses.archives(tmp_path / "exp")
    assert found.words is None and "nbest.0.jsonl:2: was changed" in found.why
    (teacher / "nbest_train/summary.json").unlink()
    (found,) = hypotheses.archives(tmp_path / "exp")
    assert (found.summary, found.why) == ({}, "unfinished")


def answers(every):
    shown = headline.headline(every, compare.against_references(every))
    return shown, {one.question: one for one in shown.answers}


def test_the_headline(exp):  # noqa: F811
    shown, told = answers(collect.systems(exp))
    # on beam there is the teacher alone; the teacher's 10 % of greedy against 15.5 and 16.0 %
    assert shown.key == ("beam", "test") and shown.student == ""
    for seed in (1, 2):
        write_decode(exp / f"kd{seed}", "beam", "test", [2] * 8 + [1] * 12, 20.0)  # 14 %
        write_decode(exp / f"ref{seed}", "beam", "test", [2] * 20, 20.0)  # 20 %
    shown, told = answers(collect.systems(exp))
    assert (shown.key, shown.student, shown.teacher.name) == (("beam", "test"), SEQUENCE, "teacher")
    assert (
        shown.sentence
        == "10.0 × smaller and 4.0 × faster than its teacher, at 14.00 % WER where the teacher has 5.00 %."
    )
    assert [(bar.who, bar.value) for bar in told["How small?"].bars] == [("teacher", 1_000_000), ("student", 100_000)]
    assert [(bar.who, bar.text) for bar in told["How fast?"].bars] == [("teacher", "0.8000 s"), ("student", "0.2000 s")]
    # (20 - 14) of (20 - 5) points
    assert told["How good?"].answer == "40 % of the gap closed"
    bars = [(bar.who, bar.value) for bar in told["How good?"].bars]
    assert bars == [("references", 20.0), ("student", pytest.approx(14.0)), ("teacher", 5.0)]
    assert told["How good?"].bars[2].low == 4.0 and told["How good?"].bars[1].low == pytest.approx(14.0)
    assert shown.cautions == [
        "There is one teacher: how far it would differ with another seed is not in the intervals.",
        "A small set: 200 words, so one error is 0.50 points.",
    ]


def test_the_headline_warns(exp):  # noqa: F811
    for seed in (1, 2):
        write_decode(exp / f"kd{seed}", "beam", "test", [2] * 8 + [1] * 12, 20.0)
        write_decode(exp / f"ref{seed}", "beam", "test", [2] * 8 + [1] * 12, 20.0)
    other = write_model(exp, "lucky", "lucky single run", 100_000, teacher="teacher")
    write_decode(other, "beam", "test", [0] * 20, 20.0)
    path = other / "decode_beam/test/score_wer/score.json"
    path.write_text(path.read_text().replace("costs:433", "costs:111"))
    shown, _ = answers(collect.systems(exp))
    assert shown.student == SEQUENCE  # of two seeds; a better single run is not quoted
    assert any("not beyond noise" in one for one in shown.cautions)
    assert any("made by different rules" in one for one in shown.cautions)
    (exp / "kd2/kdasr.json").unlink()
    shown, _ = answers(collect.systems(exp))
    assert shown.student == "lucky single run"  # all taught labels have one seed now
    assert any(one.startswith("The best of 2 kinds") for one in shown.cautions)
    assert any(one.startswith("One seed") for one in shown.cautions)
    assert any("not scored on the same utterances by the same rules" in one for one in shown.cautions)


@pytest.mark.parametrize(
    "keys, wanted",
    [
        ([("greedy", "test"), ("beam", "test")], ("beam", "test")),
        ([("beam", "test_dev93"), ("greedy", "test_eval92")], ("greedy", "test_eval92")),
        ([("greedy", "dev"), ("beam5", "dev")], ("beam5", "dev")),
        ([("beam", "development_free"), ("beam", "a")], ("beam", "a")),
        ([], None),
    ],
)
def test_the_page_begins_with_a_test_set_and_a_beam(keys, wanted):
    scored = {key: SimpleNamespace(wer={"wer": 1.0}) for key in keys}
    assert headline.main_key([SimpleNamespace(scored=scored)]) == wanted


def cells(every, name):
    columns, rows = overview.overview(every, compare.against_references(every))
    row = next(row for row in rows if row.name == name)
    heads = [" ".join(filter(None, [one.title, one.set, one.below])) for one in columns]
    return dict(zip(heads, row.cells, strict=True)), row


def test_the_table_of_systems(exp):  # noqa: F811
    write_model(exp, "pruned", "pruned student", 100_000, non_zero=20_000, teacher="teacher")
    every = collect.systems(exp)
    found, row = cells(every, SEQUENCE)
    assert (row.below, [one.name for one in row.seeds]) == ("2 seeds", ["seed 1", "seed 2"])
    assert (found["× smaller"].text, found["× smaller"].below) == ("10.0", "10.0 on disk")
    wer = found["WER test greedy"]
    assert (wer.text, wer.value) == ("15.75 ± 0.35", 15.75)
    assert wer.below == "[12.6, 18.9]"  # Student's over two seeds: 15.75 - 12.706 * 0.25, + the same
    assert found["gap closed test greedy"].text == "0.63"  # 10 of (25.75 - 10) points
    assert found["RTF greedy, CPU"].value == pytest.approx(0.1)
    assert found["training CPU time"].text == "50 s" and found["WER test beam"].text == "-"
    seeds = [one.cells for one in row.seeds]
    place = list(found).index("WER test greedy")
    assert [(one[place].text, one[place].below) for one in seeds] == [
        ("15.50", "[14.5, 16.5]"),
        ("16.00", "[15.0, 17.0]"),
    ]
    found, _ = cells(every, "pruned student")
    assert (found["parameters"].text, found["parameters"].below) == ("20,000", "of 100,000")
    assert (found["× smaller"].text, found["× smaller"].value) == ("50", 50.0)
    found, _ = cells(every, "teacher")
    assert found["× smaller"].text == "1" and found["WER test beam"].below == "[4.0, 6.0]"


def test_what_a_gpu_decoded_is_timed_by_the_clock_in_a_column_of_its_own(exp):  # noqa: F811
    path = exp / "teacher/decode_beam/test/decode.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cuda:0", "wall_seconds": 5.0}))
    every = collect.systems(exp)
    found, _ = cells(every, "teacher")
    assert found["RTF beam, GPU"].value == pytest.approx(0.05)
    assert "RTF beam, CPU" not in found
    head, teacher, *_ = table.main_table(every)
    assert teacher[head.index("RTF beam GPU")] == "0.050" and teacher[head.index("RTF beam")] == "-"
    assert "by the clock" in table.legend(every)


def drawn(point_name="beam"):
    points = [plots.Point(0, 1e6, 5.0, "teacher", None, False, point_name), plots.Point(1, 1e5, 9.0, "<b>&\"'", 0.5)]
    return plots.costs(points, "parameters $x", "WER on $\\frac{ <set> (%)", "p-")


def test_a_picture_takes_the_pages_colours_and_fonts_and_has_ids_of_its_own():
    text = drawn()
    root = ET.fromstring(text)
    assert not re.findall(r"#[0-9a-f]{6}\b(?!\))", re.sub(r"url\(#[^)]*\)", "", text)), "a colour that knows no night"
    assert "DejaVu" not in text and "currentColor" in text and "var(--c1)" in text
    ids = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(ids) == len(set(ids)) and all(one.startswith("p-") for one in ids)
    used = set(re.findall(r"url\(#([^)]*)\)", text)) | {
        value[1:] for one in root.iter() for key, value in one.attrib.items() if key.endswith("href")
    }
    assert used <= set(ids)
    series = {
        one.get("data-series"): one.find(f"{{{svg.SVG}}}title").text
        for one in root.iter()
        if "data-series" in one.attrib
    }
    assert series == {"0": "teacher", "1": "<b>&\"'"}
    assert "WER on $\\frac{ &lt;set&gt; (%)" in text  # no formula
    assert root.get("aria-label").startswith("WER on") and "Pareto" in root.get("aria-label")
    assert text == drawn()


def test_a_name_that_svg_cannot_hold_is_drawn_without_it():
    assert "a\N{REPLACEMENT CHARACTER}b" in drawn("a\x01b")


def test_sixty_labels_are_told_apart():
    looks = {(svg.colour(number), svg.marker(number)) for number in range(1, 61)}
    assert len(looks) == 60
    assert all(ET.fromstring(svg.glyph(number)) is not None for number in range(12))


@pytest.mark.parametrize("value, text", [(200_000, "200k"), (1e6, "1M"), (2.5e9, "2.5G"), (0.005, "0.005"), (20, "20")])
def test_numbers_on_an_axis(value, text):
    assert plots.short(value) == text


def tone(path, seconds, rate=16000):
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.sin(np.arange(int(rate * seconds)) * 0.1) * 8000
    soundfile.write(path, samples.astype(np.int16), rate)
    return path


def decoded(uri):
    import soundfile

    kind, _, data = uri.partition(",")
    assert kind == "data:audio/ogg;base64"
    return soundfile.read(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("rate", [16000, 22050])
def test_a_clip_sounds_as_its_recording(tmp_path, rate):
    samples, found = decoded(audio.encode(str(tone(tmp_path / "a.wav", 1.5, rate)), None))
    assert len(samples) / found == pytest.approx(1.5, abs=0.01)
    peak = np.fft.rfft(samples * np.hanning(len(samples)))
    assert np.abs(peak).argmax() / len(samples) * found == pytest.approx(0.1 * rate / (2 * np.pi), rel=0.01)


def test_clips_follow_segments_and_stop_where_there_is_no_more_room(tmp_path):
    data = tmp_path / "data"
    wav = tone(data / "a.wav", 3.0)
    (data / "wav.scp").write_text(f"rec {wav}\n")
    (data / "segments").write_text("u1 rec 0.5 1.5\nu2 rec 2.0 -1\n")
    known = audio.sources([str(data)])
    assert known == {"u1": (str(wav), (0.5, 1.5)), "u2": (str(wav), (2.0, -1.0))}
    made = audio.clips(["u2", "none", "u1"], known, 1e6)
    assert list(made.uris) == ["u2", "u1"]
    assert len(decoded(made.uris["u2"])[0]) == pytest.approx(16000, abs=200)
    assert "Audio of 2 of 3 utterances" in made.told and "1 are not in --audio, as none" in made.told
    made = audio.clips(["u2", "u1"], known, len(made.uris["u2"]) + 10)
    assert list(made.uris) == ["u2"] and "--audio_mb" in made.told
    (data / "pipe.scp").write_text("u1 sph2pipe x |\n")
    with pytest.raises(UserError, match=r"pipe.scp: u1 is a command"):
        audio.sources([str(data / "pipe.scp")])


def aligned(ref, hyp):
    return Alignment(
        tuple(ref.split()), tuple(hyp.split()), "".join(op for op, _, _ in align(ref.split(), hyp.split()))
    )


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
