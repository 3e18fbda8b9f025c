"""Kaldi's N-best lists, written here as its scripts write them: read, ranked as they stood, or refused."""

import json

import numpy as np
import pytest

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.files import read_json, read_lines, read_table
from kdasr.lm.kaldi_nbest import read_kaldi, scale_of_order
from kdasr.lm.weights import Lists

ROWS = [  # key, text, acwt, lmwt.nolm, lmwt.lmonly: the second is better by a scale of 1/10 or less
    ("u1-1", "the cat", 100.0, 2.0, 5.0),
    ("u1-2", "a cat", 130.0, 1.0, 4.0),
    ("a-b-2", "", 50.0, 0.5, 0.5),
    ("a-b-1", "dog dog", 40.0, 0.5, 0.5),
]


def write(directory, rows=ROWS, old=True, digits=7):
    """Files as nbest-to-linear and awk write them."""
    directory.mkdir(parents=True)
    tables = {"words_text": [f"{key} {text} ".replace("  ", " ") for key, text, *_ in rows]}
    tables["acwt"] = [f"{row[0]} {row[2]:.{digits}g}" for row in rows]
    tables["lmwt.nolm"] = [f"{row[0]} {row[3]:.{digits}g}" for row in rows]
    if old:
        tables["lmwt.lmonly"] = [f"{row[0]} {row[4]:.6g}" for row in rows]
        tables["lmwt.withlm"] = [f"{row[0]} {row[3] + row[4]:.{digits}g}" for row in rows]
    tables["ali"] = [f"{row[0]} 1 1 2 3" for row in rows]
    for name, lines in tables.items():
        (directory / name).write_text("".join(f"{line}\n" for line in lines))
    return directory


def test_read_by_hand(tmp_path):
    lists, scale, how = read_kaldi(write(tmp_path / "n", ROWS[:2]), 0.25)
    assert (scale, how) == (0.25, "given")
    assert lists.scores["score"].tolist() == [-(25.0 + 7), -(32.5 + 5)]
    lists, _, _ = read_kaldi(write(tmp_path / "kaldi"))
    assert lists.ids == ["u1", "a-b"] and lists.sizes.tolist() == [2, 2]
    assert lists.texts == ["the cat", "a cat", "dog dog", ""]
    assert lists.scores["lmwt.lmonly"].tolist() == [-5.0, -4.0, -0.5, -0.5]
    assert lists.scores["acwt"].tolist() == [-100.0, -130.0, -40.0, -50.0]
    assert set(lists.scores) == {"score", "acwt", "lmwt.nolm", "lmwt.lmonly", "lmwt.withlm"}
    (tmp_path / "kaldi" / "lmwt.withlm").unlink()
    assert read_kaldi(tmp_path / "kaldi")[0].scores["score"].tolist() == lists.scores["score"].tolist()


def test_numbered_parts_are_one_archive(tmp_path):
    write(tmp_path / "whole" / "archives.1")
    write(tmp_path / "parts" / "archives.1", ROWS[:2])
    write(tmp_path / "parts" / "archives.2", ROWS[2:])
    (tmp_path / "parts" / "num_jobs").write_text("2\n")
    (whole, *_), (parts, *_) = (read_kaldi(tmp_path / name) for name in ("whole", "parts"))
    assert whole.ids == parts.ids and whole.texts == parts.texts
    assert {key: value.tolist() for key, value in whole.scores.items()} == {
        key: value.tolist() for key, value in parts.scores.items()
    }
    (tmp_path / "parts" / "num_jobs").write_text("3\n")
    with pytest.raises(UserError, match=r"parts: expected parts 1 to 3, found \[1, 2\]"):
        read_kaldi(tmp_path / "parts")


def test_hypotheses_and_parts_stand_in_the_order_of_their_numbers(tmp_path):
    """Twelve of each: 10 comes after 9."""
    for part in range(1, 13):
        rows = [(f"u{part}-{n}", f"w{n}", 10.0, 1.0, 1.0) for n in (12, 3, 10, 1, 2, *range(4, 10), 11)]
        write(tmp_path / f"archives.{part}", rows)
    lists, *_ = read_kaldi(tmp_path)
    assert lists.ids == [f"u{part}" for part in range(1, 13)] and lists.sizes.tolist() == [12] * 12
    assert lists.texts == [f"w{n}" for n in range(1, 13)] * 12


def test_a_given_scale_leaves_the_costs_as_they_are(tmp_path):
    """Also where the lists do not stand in their order; utterances are not compared with one another."""
    rows = [("u-1", "a", 100.0, 2.0, 5.0), ("u-2", "b", 130.0, 1.0, 4.0), ("v-1", "c", 50.0, 1.0, 1.0)]
    lists, scale, how = read_kaldi(write(tmp_path / "kaldi", rows), 0.01)
    assert lists.scores["score"].tolist() == pytest.approx([-8.0, -6.3, -2.5]) and (scale, how) == (0.01, "given")
    lists, scale, how = read_kaldi(tmp_path / "kaldi")
    assert (scale, how) == (pytest.approx(1 / 12), "that of the lists' order")
    assert (
        scale_of_order(np.array([10.0, 0.0]), np.array([5.0, 1.0]), Lists(["u", "v"], np.array([1, 1]), ["a", "b"]))
        == 1 / 12
    )


def test_costs_have_room_for_their_last_digits(tmp_path):
    """1e-5 of the graph's costs and 1e-6 of the acoustic ones, of both hypotheses; no more."""
    lists = Lists(["u"], np.array([2]), ["a", "b"])
    for acoustic, graph, over in ((1e6, 0.0, 2.0), (0.0, 1e5, 2.0), (1e6, 1e5, 4.0)):
        for off, found in ((0.9 * over, 1 / 12), (1.1 * over, None)):
            first, second = np.array([acoustic, acoustic]), np.array([graph + off, graph])
            assert scale_of_order(first, second, lists) == found, (acoustic, graph, off)


def random_rows(rng, scale, ties):
    """Lists of 500 of three utterances in the order of their costs, which are near each other, or equal."""
    rows = []
    for key in ("x", "y-z", "w"):
        acoustic = rng.uniform(5000, 5020, 500)
        graph = rng.uniform(60, 61, 500).round(0 if ties else 5)
        old = rng.uniform(20, 22, 500).round(0 if ties else 5)
        acoustic[::3] = acoustic[0] if ties else acoustic[::3]
        order = np.argsort(scale * acoustic + graph + old, kind="stable")
        rows += [(f"{key}-{n}", f"w{k}", acoustic[k], graph[k], old[k]) for n, k in enumerate(order, 1)]
    return rows


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1 / 12, 1 / 17, 0.0831])
def test_without_weights_the_ranking_is_as_it_was(tmp_path, scale, old, ties):
    """Costs are written with seven digits, so that their sums are not quite in order."""
    rows = random_rows(np.random.default_rng(0), scale, ties)
    if not old:
        rows = [(key, text, acoustic, graph + lm, 0.0) for key, text, acoustic, graph, lm in rows]
    write(tmp_path / "kaldi", rows, old)
    assert main(["rescore", "--nbest", str(tmp_path / "kaldi"), "--out", str(tmp_path / "out")]) == 0
    for record in map(json.loads, read_lines(tmp_path / "out" / "nbest.jsonl")):
        assert [hyp["place"] for hyp in record["hyps"]] == list(range(1, 501))
    record = read_json(tmp_path / "out" / "rescore.json")
    assert record["changed"] == 0 and record["acoustic_scale"] == pytest.approx(scale, rel=1e-2)


def test_a_new_model_takes_the_place_of_the_old_one_as_in_kaldi(tmp_path):
    """graph + w * new + (1 - w) * old, as Kaldi's awk computes it, at the acoustic scale of the lists' order."""
    rows = random_rows(np.random.default_rng(1), 1 / 10, False)
    directory = write(tmp_path / "kaldi" / "archives.1", rows)
    new = np.random.default_rng(2).uniform(20, 40, len(rows)).round(4)
    (directory / "lmwt.rnn").write_text("".join(f"{row[0]} {cost}\n" for row, cost in zip(rows, new, strict=True)))
    words = ["--nbest", str(tmp_path / "kaldi"), "--weights", "lmwt.lmonly=-0.3", "lmwt.rnn=0.3"]
    assert main(["rescore", *words, "--out", str(tmp_path / "out")]) == 0
    found = {}
    for (key, text, acoustic, graph, old), rnn in zip(rows, new, strict=True):
        cost = acoustic / 10 + graph + 0.3 * rnn + 0.7 * old
        found.setdefault(key.rpartition("-")[0], []).append((cost, text))
    assert read_table(tmp_path / "out" / "text") == {key: min(hyps)[1] for key, hyps in found.items()}
    # weights.json keeps the scale for lists that could have been ordered by another
    few = write(tmp_path / "few", [(f"u-{n}", "a", 10.0 * n, 1.0, 1.0) for n in (1, 2)])
    (few / "lmwt.rnn").write_text("u-1 1\nu-2 1\n")
    words = ["--nbest", str(few), "--weights", str(tmp_path / "out" / "weights.json")]
    assert main(["rescore", *words, "--out", str(tmp_path / "out2")]) == 0
    assert read_json(tmp_path / "out2" / "rescore.json")["acoustic_scale"] == 0.1


def test_a_given_scale_goes_before_that_of_other_weights(tmp_path):
    rows = [("u-1", "a", 10.0, 5.0, 0.0), ("u-2", "b", 10.0, 4.0, 0.0)]
    nbest = ["--nbest", str(write(tmp_path / "kaldi", rows))]
    (tmp_path / "w.json").write_text('{"weights": {"score": 1}, "acoustic_scale": 0.25}')
    for words, scale in ((["--acoustic_scale", "0.5"], 0.5), ([], 0.25)):
        out = tmp_path / str(scale)
        assert main(["rescore", *nbest, "--weights", str(tmp_path / "w.json"), *words, "--out", str(out)]) == 0
        assert read_json(out / "weights.json")["acoustic_scale"] == scale
        assert read_json(out / "rescore.json")["acoustic_scale"] == scale
    changed = ["--weights", str(tmp_path / "w.json"), "--acoustic_scale", "0.4", "--out", str(tmp_path / "0.5")]
    assert main(["rescore", *nbest, *changed]) == 1


def test_lists_in_the_order_of_no_scale(tmp_path, capsys):
    rows = [("u-1", "a", 10.0, 5.0, 0.0), ("u-2", "b", 10.0, 4.0, 0.0)]
    write(tmp_path / "kaldi", rows)
    assert main(["rescore", "--nbest", str(tmp_path / "kaldi"), "--out", str(tmp_path / "out")]) == 0
    assert "acoustic scale 0.083333 (1/12): the lists stand in the order of none" in capsys.readouterr().out
    assert read_table(tmp_path / "out" / "text") == {"u": "b"}


def test_the_scale_is_bounded_from_both_sides():
    lists = Lists(["u"], np.array([3]), ["a", "b", "c"])
    # -10 a <= 1.05, 20 a <= 2: from 0 to 1/10
    assert scale_of_order(np.array([10.0, 20.0, 0.0]), np.array([5.0, 6.05, 8.05]), lists) == 1 / 12
    # 10 a >= 5, 20 a <= 14: from 1/2 to 7/10
    assert scale_of_order(np.array([0.0, 10.0, -10.0]), np.array([5.0, 0.0, 14.0]), lists) == 0.5
    # 10 a >= 5.5, 20 a <= 12: from 0.55 to 0.6, where nobody's scale is
    assert scale_of_order(np.array([0.0, 10.0, -10.0]), np.array([5.5, 0.0, 12.0]), lists) == pytest.approx(0.575)
    assert scale_of_order(np.array([0.0, 10.0, -10.0]), np.array([5.5, 0.0, 10.0]), lists) is None
    assert scale_of_order(np.array([0.0, 0.0, 0.0]), np.array([5.5, 0.0, 10.0]), lists) is None


def drop(name):
    return lambda part: (part / name).unlink()


def put(name, content):
    return lambda part: (part / name).write_bytes(content)


GOOD = b"u1-1 1\nu1-2 2\na-b-2 3\n"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop("words_text"), r"neither an N-best archive \(manifest\.json\) nor Kaldi's"),
        (drop("acwt"), "expected acwt, and lmwt.nolm or lmwt.withlm"),
        (put("words_text", b""), r"words_text: is empty"),
        (put("words_text", b"u1-1 a\nu1 b\n"), r"words_text:2: expected 'UTTERANCE-n WORD\.\.\.', found 'u1 b'"),
        (put("words_text", b"u1-1 a\nu1-x b\n"), r"words_text:2: expected 'UTTERANCE-n"),
        (put("words_text", b"u1-1 a\n-2 b\n"), r"words_text:2: expected 'UTTERANCE-n"),
        (put("words_text", b"u1-1 a\n\n"), r"words_text:2: expected 'UTTERANCE-n"),
        (put("words_text", b"u1-1 a\nu1-1 b\n"), r"words_text:2: u1-1 is here a second time"),
        (put("words_text", b"u1-1 a\nu1-2 \xff\n"), r"words_text:2: not UTF-8"),
        (put("acwt", GOOD + b"a-b-1 nan\n"), r"acwt:4: expected 'UTTERANCE-n COST', found 'a-b-1 nan'"),
        (put("acwt", GOOD + b"a-b-1 dog\n"), r"acwt:4: expected 'UTTERANCE-n COST', found 'a-b-1 dog'"),
        (put("acwt", GOOD + b"a-b-1 1 2\n"), r"acwt:4: expected 'UTTERANCE-n COST'"),
        (put("acwt", GOOD + b"\xff\n"), r"acwt:4: not UTF-8"),
        (put("acwt", GOOD), r"acwt: lacks a-b-1, which is in .*words_text:4"),
        (put("acwt", GOOD + b"a-b-1 1\nu9-1 1\n"), r"words_text: lacks u9-1, which is in .*acwt:5"),
        (put("acwt", GOOD + b"u1-1 1\n"), r"acwt:4: u1-1 is here a second time"),
    ],
)
def test_files_that_are_none_are_refused_by_line(tmp_path, spoil, message):
    spoil(write(tmp_path / "kaldi"))
    with pytest.raises(UserError, match=message):
        read_kaldi(tmp_path / "kaldi")


def test_parts_that_do_not_fit_are_refused(tmp_path):
    first, second = (write(tmp_path / f"archives.{n}", ROWS[2 * n - 2 : 2 * n]) for n in (1, 2))
    (second / "lmwt.lmonly").unlink()
    with pytest.raises(UserError, match=r"archives\.2: lmwt\.lmonly is not in both this part and .*archives\.1"):
        read_kaldi(tmp_path)
    (first / "lmwt.lmonly").unlink()
    for path in second.iterdir():
        path.write_text(path.read_text().replace("a-b-", "u1-"))
    with pytest.raises(UserError, match=r"archives\.2/words_text:1: u1 is in .*archives\.1/words_text, too"):
        read_kaldi(tmp_path)


def test_numbers_are_no_words(tmp_path):
    part = write(tmp_path / "kaldi")
    (part / "words_text").unlink()
    (part / "words").write_text("u1-1 17 4\nu1-2 3\na-b-2\na-b-1 9\n")
    with pytest.raises(UserError, match=r"words:1: holds numbers; make words_text of it"):
        read_kaldi(part)
    (part / "words").write_text("u1-1 the 4\nu1-2 3\na-b-2\na-b-1 9\n")
    assert read_kaldi(part)[0].texts == ["the 4", "3", "9", ""]


def test_marks_blanks_and_line_ends_of_other_systems_are_no_part_of_a_word_or_key(tmp_path):
    plain, *_ = read_kaldi(write(tmp_path / "kaldi"))
    for path in (tmp_path / "kaldi").iterdir():
        text = path.read_text().replace(" ", "\t").replace("\n", "\r\n")
        path.write_bytes(("\ufeff" + text).encode())
    found, *_ = read_kaldi(tmp_path / "kaldi")
    assert (found.ids, found.texts) == (plain.ids, plain.texts)
    assert {name: column.tolist() for name, column in found.scores.items()} == {
        name: column.tolist() for name, column in plain.scores.items()
    }


@pytest.mark.parametrize("text", ["", "\n", "x\n", "\u00b2\n", "9" * 5000])
def test_a_number_of_jobs_that_is_none_is_not_gone_by(tmp_path, text):
    write(tmp_path / "archives.1")
    (tmp_path / "num_jobs").write_text(text)
    assert read_kaldi(tmp_path)[0].ids == ["u1", "a-b"]


def test_a_hypothesis_of_no_number_is_refused(tmp_path):
    write(tmp_path / "kaldi")
    for key in ("u1-" + "9" * 5000, "u1-\u00b2", "u1-x", "u1", "-1"):
        (tmp_path / "kaldi/words_text").write_text(f"{key} the cat\n")
        with pytest.raises(UserError, match=r"words_text:1: expected 'UTTERANCE-n WORD...'"):
            read_kaldi(tmp_path / "kaldi")
