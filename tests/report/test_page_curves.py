"""Training curves and N-best figures of the page, and its pictures."""

import datetime
import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from report_inputs import write_log
from test_report_table import REFERENCES, SEQUENCE, exp, write_decode, write_model  # noqa: F401 - a fixture

from kdasr.report import (
    curves,
    hypotheses,
    page,
    plots,
    svg,
)


def test_curves_come_from_the_log(tmp_path):
    write_model(tmp_path, "m", "x", 10)
    write_log(tmp_path / "m", 3)
    points = curves.read(tmp_path / "m").points
    assert points["valid", "acc"] == [(50, 0.5), (100, 0.75), (150, 0.8333)]
    assert points["train", "loss"] == [(50, 10.0), (100, 5.0), (150, 3.3333)]
    assert points["valid", "loss"] == [(50, 12.0), (100, 6.0), (150, 4.0)]
    assert curves.read(tmp_path / "none").points == {}
    (tmp_path / "m/checkpoint.pth").write_bytes(b"damaged")  # of no use: the log has all epochs
    assert curves.read(tmp_path / "m").points == points


def test_the_later_line_of_an_epoch_counts_and_updates_are_those_of_training(tmp_path):
    """Of an epoch without a count of updates its number stands in the picture; what no picture can show is left out."""
    (tmp_path / "log").mkdir()
    lines = [
        "INFO: 1epoch results: [train] loss=9.0, total_count=70, [valid] acc=0.25, loss=8.0, total_count=3\n",
        "INFO: 2epoch results: [train] loss=1.0, total_count=140, [valid] acc=0.5, loss=7.0, total_count=6\n",
        "INFO: 2epoch results: [train] loss=5.0, total_count=141, [valid] acc=0.75, loss=6.0, total_count=6\n",
        "INFO: 3epoch results: [train] loss=nan, [valid] acc=1, loss=1e16\n",
    ]
    (tmp_path / "log/train.log").write_text("".join(lines))
    assert curves.read(tmp_path).points == {
        ("train", "loss"): [(70, 9.0), (141, 5.0)],
        ("valid", "acc"): [(70, 0.25), (141, 0.75), (3, 1.0)],
        ("valid", "loss"): [(70, 8.0), (141, 6.0)],
    }


def test_epochs_before_a_kill_come_from_the_checkpoint(tmp_path):
    import torch

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
    # of several that fit, the whole of the longest name: train_unlab0.5 is part of train_unlab0.5, then of train
    for name, text in (
        ("train_unlab0.5", "u3 yes\nu4 no\n"),
        ("train_unlab", "u1 wrong\n"),
        ("train_unlab0", "u1 wrong\n"),
    ):
        (tmp_path / "dump/fbank" / name).mkdir()
        (tmp_path / "dump/fbank" / name / "text").write_text(text)
    (found,) = hypotheses.archives(tmp_path / "exp")
    assert found.words["errors"] == [1, 0] and found.why == "words counted on 1 of 3 utterances"
    shutil.rmtree(tmp_path / "dump/fbank/train_unlab0.5")
    with pytest.MonkeyPatch.context() as patch:  # of a larger archive so many utterances, spread evenly
        patch.setattr(hypotheses, "MOST", 1)
        (found,) = hypotheses.archives(tmp_path / "exp")
        assert found.words["errors"] == [2, 1] and found.why == "words counted on 1 of 3 utterances"
    (tmp_path / "dump/fbank/train/text").write_text("v1 other\n")
    assert hypotheses.archives(tmp_path / "exp")[0].why.endswith("train/text lacks its utterances")


def test_the_page_tells_of_the_best_and_of_the_nearest(tmp_path):
    for name, nbest in (("a", 2), ("b", 1)):
        records = [record | {"hyps": record["hyps"][:nbest]} for record in RECORDS]
        write_archive(write_model(tmp_path / "exp", name, name, 10) / "nbest_train", records, nbest)
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/train/text").write_text("u1 the cat sat\nu2 one two three\nu3 yes\n")
    told = page._nbest(str(tmp_path / "exp"))
    assert told["archives"][1:] == [
        ["A: train", "a", "4", "3", "6", "3", "1", "42.86", "14.29 of 2", "words counted on 3 of 3 utterances"],
        ["B: train", "b", "4", "3", "3", "3", "1", "42.86", "42.86 of 1", "words counted on 3 of 3 utterances"],
    ]
    assert "A: a, train ends at 14.3" in told["picture"] and "B: b" not in told["picture"]
    assert len(told["targets"]) == 1 and told["warnings"] == []
    assert page._nbest(None)["archives"] == told["archives"][:1]


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


def paths(text, marked):
    """The places that the paths of a picture go through, of those whose style has a mark."""
    found = [one for one in ET.fromstring(text).iter(f"{{{svg.SVG}}}path") if marked in one.get("style", "")]
    places = [re.findall(r"[ML] (\S+) (\S+)", one.get("d")) for one in found]
    return [[(float(x), float(y)) for x, y in one] for one in places]


def test_the_front_goes_right_from_each_point_and_then_down():
    """Right of a point of the front and above it all are beaten by it."""
    points = [
        plots.Point(0, 10, 9, "a"),
        plots.Point(1, 100, 5, "b"),
        plots.Point(2, 1000, 1, "c"),
        plots.Point(3, 500, 8, "d"),
    ]
    (front,) = paths(plots.costs(points, "x", "y", "p-"), "stroke-dasharray: 2")
    xs, ys = zip(*front, strict=True)
    assert xs == tuple(sorted(xs)) and ys == tuple(sorted(ys)) and len(set(xs)) == 4  # y grows downwards
    assert [x for x, _ in front] == pytest.approx([xs[0], *[xs[1]] * 2, *[xs[3]] * 2, xs[-1]])
    assert [y for _, y in front] == pytest.approx([*[ys[0]] * 2, *[ys[2]] * 2, *[ys[4]] * 2])
    assert xs[3] - xs[1] == pytest.approx(xs[1] - xs[0], abs=0.01)  # tens, hundreds, thousands
    assert (ys[4] - ys[2]) == pytest.approx(ys[2] - ys[0], abs=0.01)  # 9, 5, 1
    described = ET.fromstring(plots.costs(points, "x", "y", "p-")).get("aria-label")
    assert described == "y against x. On the Pareto front: a; b; c"


def test_a_deviation_is_a_bar_of_its_size_on_both_sides():
    sds = [None, 0.5, 1.0, 0.0, 4.0]
    text = plots.costs([plots.Point(k, 10 + k, 4 + 2 * k, "a", sd) for k, sd in enumerate(sds)], "x", "y", "p-")
    bars = {}
    for k in range(5):
        upright = [one for one in paths(text, f"stroke: {svg.themed(svg.colour(k))};") if len(one) == 2]
        bars[k] = [sorted(y for _, y in one) for one in upright if one[0][0] == one[1][0] and k]
    assert {k: len(found) for k, found in bars.items()} == {0: 0, 1: 1, 2: 1, 3: 0, 4: 1}
    (one,), (two,), (last,) = bars[1], bars[2], bars[4]
    # 5.5 to 6.5, and 7 to 9
    scale = sum(one) / 2 - sum(two) / 2  # of 2 points
    assert one[1] - one[0] == pytest.approx(scale / 2, rel=0.01)
    assert two[1] - two[0] == pytest.approx(scale, rel=0.01)
    assert last[1] - last[0] == pytest.approx(4 * scale, rel=0.01)  # none of it is beyond the picture


def test_lines_end_where_they_are_said_to_end():
    lines = [plots.Line(0, [(1, 5.0), (2, 3.0), (3, 4.0)], "first"), plots.Line(1, [(1, 6.0), (2, 2.5)], "second")]
    for whole in (False, True):
        root = ET.fromstring(plots.curves(lines, "updates", "loss", "p-", whole))
        assert root.get("aria-label") == "loss against updates: first ends at 4; second ends at 2.5"
        marked = [one for one in root.iter() if "data-series" in one.attrib]
        assert [one.get("data-series") for one in marked] == ([] if whole else ["0", "1"])


def test_a_name_that_svg_cannot_hold_is_drawn_without_it():
    assert "a\N{REPLACEMENT CHARACTER}b" in drawn("a\x01b")


def test_sixty_labels_are_told_apart():
    looks = {(svg.colour(number), svg.marker(number)) for number in range(1, 61)}
    assert len(looks) == 60
    assert all(ET.fromstring(svg.glyph(number)) is not None for number in range(12))


@pytest.mark.parametrize(
    "value, text",
    [
        (200_000, "200k"),
        (1e6, "1M"),
        (2.5e9, "2.5G"),
        (0.005, "0.005"),
        (20, "20"),
        (1000, "1k"),
        (999, "999"),
        (1e9, "1G"),
        (999_000, "999k"),
    ],
)
def test_numbers_on_an_axis(value, text):
    assert plots.short(value) == text
