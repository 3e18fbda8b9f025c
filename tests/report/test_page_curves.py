"""Training curves and N-best figures of the page, and its pictures."""

import datetime
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from report_inputs import write_log
from test_report_table import REFERENCES, SEQUENCE, exp, write_decode, write_model  # noqa: F401 - a fixture

from kdasr.report import (
    curves,
    hypotheses,
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
