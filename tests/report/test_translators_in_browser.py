"""The page of translators in a real browser: source, reference and two translations of each sentence."""

import sys
from pathlib import Path

import pytest
from translator_inputs import make_translators

from kdasr.cli import main
from kdasr.score import bleu, bleu_samples

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import bench_report

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium")]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The page, and what teacher and best student made of each sentence."""
    root = tmp_path_factory.mktemp("browser")
    exp = make_translators(root)
    assert main(["report", str(exp), "-o", str(root / "p.html")]) == 0
    rows = [
        bleu.read_rows(exp / f"{name}/decode_beam/test/score_bleu/per_sentence.jsonl") for name in ("teacher", "kd1")
    ]
    return root / "p.html", *rows


@pytest.fixture(scope="module")
def chromium():
    with bench_report.chromium() as driver:
        yield driver


def texts(driver, selector):
    script = "return Array.from(document.querySelectorAll(arguments[0])).map(e => e.textContent)"
    return driver.execute_script(script, selector)


def change(driver, name, value, event="change"):
    script = "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
    driver.execute_script(f"{script} e.dispatchEvent(new Event(arguments[2]))", name, value, event)


def test_sentences_stand_below_each_other_and_in_order(chromium, inputs):
    path, teacher, student = inputs
    chromium.get_log("browser")
    bench_report.visit(chromium, path)
    lacks = [{key: bleu_samples.cost(bleu_samples.statistics(row)) for key, row in one.items()} for one in inputs[1:]]
    change(chromium, "order", "worst-b")
    name = texts(chromium, ".utt b")[0]
    assert lacks[1][name] == max(lacks[1].values())
    assert texts(chromium, ".utt:first-child dt") == ["src", "ref", "A", "B"]
    assert texts(chromium, ".utt:first-child dd") == [
        *(teacher[name][key] for key in ("src", "ref", "hyp")),
        student[name]["hyp"],
    ]
    (head,) = texts(chromium, ".utt:first-child header span:not(.up):not(.down)")[:1]
    assert head == f"BLEU of this sentence: A {100 - lacks[0][name]:.1f}, B {100 - lacks[1][name]:.1f}"
    worse = sum(lacks[1][key] > lacks[0][key] for key in student)
    better = sum(lacks[1][key] < lacks[0][key] for key in student)
    (balance,) = texts(chromium, "#balance")
    assert balance.startswith(f"40 utterances: B is better on {better}, worse on {worse}, equal on")
    means = [100 - sum(one.values()) / len(one) for one in lacks]
    assert balance.endswith(f"Mean BLEU of a sentence: A {means[0]:.1f}, B {means[1]:.1f}.") and means[0] > means[1]
    verdict = {"B worse": "▼", "B better": "▲", "B alike": "="}  # the arrow is that of BLEU
    told = texts(chromium, ".utt header span:last-child")
    assert told and all(one[0] == verdict[one[2:]] for one in told)
    change(chromium, "find", "source s07", "input")  # a word of the source
    assert texts(chromium, ".utt b") == ["s07"]
    assert [one for one in chromium.get_log("browser") if one["level"] == "SEVERE"] == []


def test_the_best_stand_first_when_a_table_is_sorted_by_bleu(chromium, inputs):
    bench_report.visit(chromium, inputs[0])
    script = """
        const heads = Array.from(document.querySelectorAll('#table thead th'));
        const column = heads.findIndex(head => head.textContent.includes(arguments[0]));
        heads[column].querySelector('button').click();
        return Array.from(document.querySelectorAll('#table tbody tr')).filter(row => !row.hidden)
            .map(row => parseFloat(row.cells[column].dataset.v)).filter(value => !Number.isNaN(value));"""
    for head in ("BLEU", "tokens/s"):
        values = chromium.execute_script(script, head)
        assert len(set(values)) > 1 and values == sorted(values, reverse=True)
    values = chromium.execute_script(script, "parameters")
    assert len(set(values)) > 1 and values == sorted(values)
