"""Damaged model directories, decodings and scores: a sentence that names the file, never a traceback."""

import json
import random

import pytest
from report_inputs import write_log
from test_report_table import exp  # noqa: F401 - a fixture

from kdasr import shape
from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.files import write_json
from kdasr.report import curves, hypotheses
from kdasr.shape import AMOUNT, COUNT, NUMBER, TEXT, WHOLE, Each, Maybe, Must


@pytest.mark.parametrize(
    ("value", "expected", "said"),
    [
        ({"a": 1}, {"a": TEXT}, "f: 'a' is 1, expected a text; mend it"),
        ({"a": "x"}, {"a": COUNT}, "f: 'a' is 'x', expected a whole number of 0 or more; mend it"),
        ({"a": -1}, {"a": COUNT}, "f: 'a' is -1, expected a whole number of 0 or more; mend it"),
        ({"a": True}, {"a": WHOLE}, "f: 'a' is True, expected a whole number; mend it"),
        ({"a": 1.5}, {"a": WHOLE}, "f: 'a' is 1.5, expected a whole number; mend it"),
        ({"a": float("nan")}, {"a": NUMBER}, "f: 'a' is nan, expected a number; mend it"),
        ({"a": float("inf")}, {"a": AMOUNT}, "f: 'a' is inf, expected a number of 0 or more; mend it"),
        ({"a": 10**5000}, {"a": AMOUNT}, "f: 'a' is a number too large, expected a number of 0 or more; mend it"),
        ({}, {"a": Must(TEXT)}, "f: has no 'a'; mend it"),
        ({"a": None}, {"a": Must(TEXT)}, "f: has no 'a'; mend it"),
        ({"a": {"b": []}}, {"a": {"b": {"c": TEXT}}}, "f: 'a.b' is a list, expected an object; mend it"),
        ({"a": [1, 2, 3]}, {"a": (NUMBER, NUMBER)}, "f: 'a' is a list, expected a list of 2; mend it"),
        ({"a": [1, "x"]}, {"a": [NUMBER]}, "f: 'a[1]' is 'x', expected a number; mend it"),
        ({"a": [None]}, {"a": [NUMBER]}, "f: 'a[0]' is None, expected a number; mend it"),
        ({"a": {"k": None}}, {"a": Each(COUNT)}, "f: has no 'a.k'; mend it"),
        ({"a": "x" * 99}, {"a": [TEXT]}, f"f: 'a' is '{'x' * 56}..., expected a list; mend it"),
        ({"a": "x" * 58}, {"a": [TEXT]}, f"f: 'a' is '{'x' * 58}', expected a list; mend it"),
        ({"a": "x" * 59}, {"a": [TEXT]}, f"f: 'a' is '{'x' * 56}..., expected a list; mend it"),
        ([], {}, "f: what it holds is a list, expected an object; mend it"),
    ],
)
def test_what_is_of_another_shape_is_named_by_its_key(value, expected, said):
    with pytest.raises(UserError) as caught:
        shape.check(value, expected, "f", "mend it")
    assert str(caught.value) == said


def test_what_is_of_its_shape_passes():
    value = {"a": "x", "b": None, "n": [1, 2.5], "e": {"k": 1}, "m": [None, 3], "more": object()}
    expected = {"a": Must(TEXT), "b": COUNT, "n": (WHOLE, NUMBER), "e": Each(COUNT)}
    shape.check(value, expected | {"m": [Maybe(COUNT)]}, "f")


@pytest.mark.parametrize("kind", [WHOLE, COUNT, NUMBER, AMOUNT])
def test_numbers_have_a_largest_size_and_some_may_be_negative(kind):
    largest = int(shape.LARGEST)
    signed = kind in (WHOLE, NUMBER)
    taken = {0: True, largest: True, largest + 1: False, -1: signed, -largest: signed, -largest - 1: False}
    taken |= {0.5: kind in (NUMBER, AMOUNT), -0.5: kind == NUMBER}
    for value, fits in taken.items():
        assert shape._fits(value, kind) == fits, value


def said_of(capsys, words):
    """The one line of an error, that names a file and what to do."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kdasr {words[0]}") and (";" in line or "is a directory" in line)
    return line


BROKEN = ["", "not json", "[]", "5", '{"label": "x"', '{"a": ' + "[" * 9000, "\0", "\ufeff[1]"]
OF_MODEL = ['{"label": []}', '{"seed": "one"}', '{"parameters": -1}', '{"train_seconds": "long"}', '{"teacher": {}}']
OF_SCORE = ['{"wer": "x"}', '{"interval95": 1}', '{"counts": {"words": 1}}', '{"wer": NaN}', '{"signature": 1}']
SCORED = "kd1/decode_greedy/test/score_wer"


@pytest.mark.parametrize("out", ["R.md", "R.html"])
@pytest.mark.parametrize(
    ("file", "texts"),
    [
        ("kd1/kdasr.json", BROKEN + OF_MODEL),
        (f"{SCORED}/score.json", BROKEN + OF_SCORE),
        ("kd1/decode_greedy/test/decode.json", [*BROKEN, '{"cpu_seconds": "x"}', '{"audio_seconds": -1}']),
        ("kd1/ppl/test.json", [*BROKEN, '{"ppl": []}']),
        (f"{SCORED}/per_utt", ["u0\n", "u0 #csid 1 2 x 4\n", "u0 #csid 1\n", "u0 ref a\n", "x y z\n", "\0"]),
    ],
)
def test_a_damaged_file_is_named(exp, tmp_path, capsys, file, texts, out):  # noqa: F811
    (exp / file).parent.mkdir(exist_ok=True)
    for text in texts:
        (exp / file).write_text(text)
        assert file in said_of(capsys, ["report", exp, "-o", tmp_path / out])
        assert not (tmp_path / out).exists()
    (exp / file).unlink()
    (exp / file).mkdir()
    assert file in said_of(capsys, ["report", exp, "-o", tmp_path / out])


def test_a_page_names_a_score_whose_operations_are_none(exp, tmp_path, capsys):  # noqa: F811
    for text in ("u0 ref a\nu0 hyp a\nu0 op X\nu0 #csid 1 0 0 0\n", "u0 ref a\nu0 hyp a\nu0 op CC\nu0 #csid 2 0 0 0\n"):
        (exp / SCORED / "per_utt").write_text(text)
        assert f"{SCORED}/per_utt:4: u0: expected C, S, D and I" in said_of(
            capsys, ["report", exp, "-o", tmp_path / "R.html"]
        )


@pytest.mark.parametrize("file", ["kd1/nbest_test/summary.json", "kd1/targets_test/targets.json"])
def test_damaged_lists_and_targets_are_named(exp, tmp_path, capsys, file):  # noqa: F811
    sizes = {
        "utterances": 1,
        "shards": 1,
        "shard_size": 1,
        "keys": "k",
        "search": {"beam": 2, "nbest": 2, "normalize_length": False},
    }
    write_json(exp / "kd1/nbest_test/manifest.json", sizes)
    (exp / file).parent.mkdir(exist_ok=True)
    wrong = ['{"words": {"wer": 5}, "summary": {"utterances": "x"}}', '{"words": 5, "summary": 5}']
    for text in [*BROKEN, *wrong]:
        (exp / file).write_text(text)
        assert file in said_of(capsys, ["report", exp, "-o", tmp_path / "R.html"])
    (exp / file).unlink()
    write_json(
        exp / "kd1/nbest_test/manifest.json", sizes | {"search": {"beam": "two", "nbest": 2, "normalize_length": False}}
    )
    assert "manifest.json: 'search.beam' is 'two'" in said_of(capsys, ["report", exp, "-o", tmp_path / "R.html"])


def test_a_damaged_checkpoint_or_log_lacks_its_curve_and_says_so(tmp_path, capsys):
    import torch

    path = tmp_path / "checkpoint.pth"
    stats = {k: {"valid": {"acc": k / 10, "total_count": k}} for k in (1, 2)}
    torch.save({"reporter": {"stats": stats}}, path)
    whole = path.read_bytes()
    assert curves.read(tmp_path).points["valid", "acc"] == [(1.0, 0.1), (2.0, 0.2)]
    generator = random.Random(1)
    texts = [b"", b"x", whole[:50], whole[:-30], bytes(generator.randrange(256) for _ in range(500))]
    for data in texts:
        path.write_bytes(data)
        assert curves.read(tmp_path).points == {}
        assert f"{path}: cannot be read (" in capsys.readouterr().err
    for value in (
        [],
        {"reporter": 5},
        {"reporter": {"stats": {"x": 5}}},
        {"reporter": {"stats": {1: {"valid": {"acc": "x"}}}}},
    ):
        torch.save(value, path)
        assert curves.read(tmp_path).points == {}
        assert capsys.readouterr().err.count("\n") == 1
    path.unlink()
    write_log(tmp_path, 3)
    log = tmp_path / "log/train.log"
    text = log.read_text().replace("acc=0.7500", "acc=+-e").replace("loss=4.0000", "loss=1e999")
    log.write_text(text + f"INFO: {'9' * 5000}epoch results: [valid] acc=1.0\n")
    found = curves.read(tmp_path).points
    assert [at for at, _ in found["valid", "acc"]] == [50, 150] and [at for at, _ in found["valid", "loss"]] == [
        50,
        100,
    ]
    assert capsys.readouterr().err == ""


def test_damaged_figures_of_lms_are_named(tmp_path, capsys):
    words = ["lm", "report", "--exp", tmp_path, "--out", tmp_path / "R.md"]
    place = tmp_path / "m/rescore_x/test"
    good = {
        "m/ppl/valid.json": {"ppl": 5.0},
        "m/kdasr.json": {"label": "teacher"},
        "m/rescore_x/test/score_wer/score.json": {"wer": 5.0, "signature": "s"},
        "m/rescore_x/test/weights.json": {"weights": {"lm": 1.0}},
    }
    for file, value in good.items():
        write_json(tmp_path / file, value)
    assert main([str(word) for word in words]) == 0
    wrong = {
        "m/ppl/valid.json": ["{}", '{"ppl": "x"}'],
        "m/kdasr.json": ['{"label": {}}', '{"parameters": "x"}'],
        "m/rescore_x/test/score_wer/score.json": ["{}", '{"wer": 5.0}'],
        "m/rescore_x/test/weights.json": ["{}", '{"weights": {"a": "x"}}', '{"weights": {}, "tuned": {"wer": 5}}'],
    }
    for file, texts in wrong.items():
        for text in [*BROKEN, *texts]:
            (tmp_path / file).write_text(text)
            assert file in said_of(capsys, words)
        write_json(tmp_path / file, good[file])
    (place / "weights.json").unlink()
    assert "weights.json: no such file" in said_of(capsys, words)


def test_damaged_figures_of_frames_are_named(tmp_path, capsys):
    words = ["frames", "report", "--exp", tmp_path, "--out", tmp_path / "R.md"]
    model = {"label": "baseline", "share": 1.0, "train_accuracy": 5.0, "valid_accuracy": 5.0, "cpu_seconds": 1.0}
    model |= {"parameters": 5, "frames": 5, "epochs": 2, "best_epoch": 1}
    sets = {"alone": 1, "together": 1, "tested": 2, "generalist": "g", "groups": [{"states": ["a"]}]}
    good = {
        "m/kdasr.json": model,
        "m/predict_test/predict.json": {"accuracy": 5.0, "models": ["m"], "cpu_seconds": 1.0},
        "m/predict_test/decode/decode.json": {"cpu_seconds": 1.0},
        "m/predict_test/decode/score_wer/score.json": {"wer": 5.0, "interval95": [4, 6], "signature": "s"},
        "specialists_x/specialists.json": sets | {"temperature": 2.0, "cpu_seconds": 1.0},
    }
    for file, value in good.items():
        write_json(tmp_path / file, value)
    assert main([str(word) for word in words]) == 0
    for file, value in good.items():
        lacking = [{key: kept for key, kept in value.items() if key != left_out} for left_out in value]
        lacking = [one for one in lacking if file != "m/kdasr.json" or "train_accuracy" in one]  # else another kind
        wrong = [value | {key: {}} for key in value] + lacking
        for text in [*BROKEN, *map(json.dumps, wrong)]:
            (tmp_path / file).write_text(text)
            assert file in said_of(capsys, words)
        write_json(tmp_path / file, value)


def test_references_of_lists_are_cut_at_any_white_space(tmp_path):
    (tmp_path / "text").write_bytes("\ufeffu1\ta b\r\nu2\r\nu3  c\n".encode())
    assert hypotheses.read_references(tmp_path / "text") == {"u1": "a b", "u2": "", "u3": "c"}
