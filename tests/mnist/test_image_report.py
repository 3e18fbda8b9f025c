"""The tables and the picture of networks on images, of figures put there by hand."""

import matplotlib.figure
import numpy as np
import pytest
from image_tables import (
    EVERY,
    against_hard,
    curves,
    left_out_table,
    main_table,
    read,
    references,
    specialist_table,
)
from picture import draw

from kdasr.files import write_json


def put(exp, name, label, errors, temperature=None, hidden=800, classes=EVERY, logits=None, seconds=60.0):
    about = {
        "label": label,
        "role": label,
        "hidden": hidden,
        "layers": 2,
        "temperature": temperature,
        "classes": list(classes),
    }
    about |= {"errors": errors, "parameters": 1000 * hidden, "images": 60 * len(classes), "cpu_seconds": seconds}
    write_json(exp / name / "kdasr.json", about)
    if logits is not None:
        np.savez(exp / name / "logits.npz", train=logits, test=logits)


@pytest.fixture
def exp(tmp_path):
    """A teacher, networks on labels and soft targets of two sizes; seeds of 140 and 150, 70 and 80 errors."""
    put(tmp_path, "teacher_s1", "teacher", 60, hidden=1200)
    for seed, shift in ((1, 0), (2, 10)):
        put(tmp_path, f"hard_s{seed}", "student", 140 + shift, seconds=60.0 + shift)
        put(tmp_path, f"T20_s{seed}", "student", 70 + shift, 20.0)
        put(tmp_path, f"small_s{seed}", "student", 300 + shift, hidden=30)
        put(tmp_path, f"small_T8_s{seed}", "student", 250 + shift, 8.0, hidden=30)
    put(tmp_path, "T1_s1", "student", 90, 1.0)
    return tmp_path


def test_main_table(exp):
    groups = read(exp)
    rows = ["|".join(row) for row in main_table(groups, "MNIST", 10_000)[1:]]
    assert rows == [
        "teacher, 2x1200|labels|-|67|60|0.60|1|1,200,000|60",
        "student, 2x800|labels|-|146|145.0 ± 7.1|1.45|2|800,000|65",
        "student, 2x800|teacher|1|-|90|0.90|1|800,000|60",
        "student, 2x800|teacher|20|74|75.0 ± 7.1|0.75|2|800,000|60",
        "student, 2x30|labels|-|-|305.0 ± 7.1|3.05|2|30,000|60",
        "student, 2x30|teacher|8|-|255.0 ± 7.1|2.55|2|30,000|60",
    ]
    assert {row[3] for row in main_table(groups, "digits", 10_000)[1:]} == {"-"}


def test_soft_targets_are_compared_with_labels_of_the_same_size(exp):
    """75 - 145 and 255 - 305; Welch's interval of each: +- 4.303 sqrt(50)."""
    (said,) = against_hard(read(exp))
    first, second = said.splitlines()
    half = 4.303 * np.sqrt(50)
    for line, start, mean in (
        (first, "- 2x800, T = 20: -70.0 errors", -70),
        (second, "- 2x30, T = 8: -50.0 errors", -50),
    ):
        assert line.startswith(start + " against the same network on the labels (Welch's 95 % interval")
        assert f"{mean - half:+.1f} to {mean + half:+.1f})" in line
    assert against_hard([one for one in read(exp) if one.temperature is not None]) == []


def test_curves_and_their_references(exp):
    groups = read(exp)
    assert curves(groups) == {"2x800": [(1.0, [90.0]), (20.0, [70.0, 80.0])]}  # at one temperature there is no curve
    assert references(groups) == ({"2x800": 145.0, "2x30": 305.0}, 60.0)
    assert references([one for one in groups if one.label != "teacher"])[1] is None


def test_the_picture_shows_means_and_seeds(tmp_path, monkeypatch):
    kept, plain = [], matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, *a, **k: (kept.append(self), plain(self, *a, **k))
    )
    lines = {"2x800": [(1.0, [90.0]), (20.0, [70.0, 80.0])], "2x30": [(2.0, [9.0, 5.0]), (8.0, [4.0])]}
    draw(tmp_path / "x.svg", lines, {"2x800": 145.0}, 60.0)
    first, second = kept[0].axes
    assert [axes.get_xscale() for axes in (first, second)] == ["log", "log"]
    drawn = {line.get_label(): line for line in first.lines}
    assert drawn["distilled"].get_xydata().tolist() == [[1, 90], [20, 75]]
    assert list(drawn["on labels"].get_ydata()) == [145, 145] and list(drawn["teacher"].get_ydata()) == [60, 60]
    assert [line.get_xydata().tolist() for line in first.lines if line.get_marker() == "_"] == [[[20, 70], [20, 80]]]
    drawn = {line.get_label(): line for line in second.lines}
    assert drawn["distilled"].get_xydata().tolist() == [[2, 7], [8, 4]] and "on labels" not in drawn
    assert [axes.get_title() for axes in (first, second)] == ["2x800", "2x30"]
    draw(tmp_path / "x.svg", lines, {"2x30": 11.0, "2x800": 145.0, "2x5": 1.0}, None)
    found = [next(list(x.get_ydata()) for x in axes.lines if x.get_label() == "on labels") for axes in kept[1].axes]
    assert found == [[145, 145], [11, 11]]
    draw(tmp_path / "x.svg", lines, {}, None)
    assert {line.get_label() for line in kept[2].axes[0].lines if line.get_label()[0] != "_"} == {"distilled"}


def biased(low, labels, amount):
    """Logits that are right on every image, but for some classes' bias."""
    logits = 4.0 * np.eye(10)[labels]
    logits[:, low] -= amount
    return logits


def test_transfer_sets_without_classes(tmp_path):
    """Of 40 images four of each class; a 3 is 6 too low, until as much is added."""
    labels = np.arange(40) % 10
    for seed, amount in ((1, 6.0), (2, 7.0)):
        put(
            tmp_path,
            f"no3_s{seed}",
            "student",
            4,
            20.0,
            classes=[0, 1, 2, *range(4, 10)],
            logits=biased([3], labels, amount),
        )
    put(tmp_path, "no4_s1", "student", 4, 20.0, classes=[0, 1, 2, 3, *range(5, 10)], logits=biased([4], labels, 3.0))
    high = 4.0 * np.eye(10)[labels]
    high[:, [7, 8]] += 6.0
    put(tmp_path, "only_s1", "student", 32, 20.0, classes=[7, 8], logits=high)
    groups = read(tmp_path)
    assert len(groups) == 3
    rows = left_out_table(groups, labels, "MNIST")[1:]
    by = {(row[0], row[2].partition(" ")[0] + row[2].partition(" on ")[2][:3]): row for row in rows}
    assert len(by) == 9
    plain, best = by["no 3 (540 images)", "as"], by["no 3 (540 images)", "chosenthe"]
    assert plain[1:] == [
        "20",
        "as learnt",
        "-",
        "4 ± 0",
        "10.00",
        "0.0 ± 0.0 %",
        "2",
        "206 errors, 133 of 1010 3s wrong",
    ]
    # between 2 and 10, and between 3 and 11: 6 and 7
    assert best[3:] == ["+6.50", "0 ± 0", "0.00", "100.0 ± 0.0 %", "2", "+3.5: 109 errors, 98.6 % of 3s right"]
    other = by["no 4 (540 images)", "as"]
    assert other[3:] == ["-", "0", "0.00", "100.0 %", "1", "-"]
    plain, best = by["only 7 8 (120 images)", "as"], by["only 7 8 (120 images)", "chosenthe"]
    assert plain[3:] == ["-", "32", "80.00", "0.0 %", "1", "47.3 % errors"]
    # below -2 the others are right, above -10 are 7 and 8
    assert best[3:] == ["-6.00", "0", "0.00", "100.0 %", "1", "-7.6: 13.2 % errors"]
    assert {row[8] for row in left_out_table(groups, labels, "digits")[1:]} == {"-"}


def test_specialists(tmp_path):
    groups = [{"classes": [1, 7]}, {"classes": [3, 5, 8]}]
    about = {"generalist": "student", "specialists": groups, "temperature": 4.0, "cpu_seconds": 30.4}
    write_json(tmp_path / "specialists_s1/specialists.json", about | {"alone": 12, "together": 10})
    assert specialist_table(tmp_path)[1:] == [["student", "1 7; 3 5 8", "4", "12", "10", "30"]]
