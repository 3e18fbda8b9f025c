"""The table of language models, of figures put there by hand."""

import pytest

from kdasr.cli import main
from kdasr.files import write_json
from kdasr.lm.report import read, table, tuning, versus


def put(exp, name, ppl=None, wers=None, weights=None, **about):
    """A model's directory: perplexity of a validation text, error rates of rescored lists, and what was tuned."""
    place = exp / name
    if about:
        role, _, objective = about["label"].partition(", ")
        about |= {"role": role, "objective": objective or "ce"}
        write_json(place / "kdasr.json", about)
    if ppl is not None:
        write_json(place / "ppl/valid.json", {"ppl": ppl})
    for data_set, wer in (wers or {}).items():
        out = place / "rescore_teacher" / data_set
        write_json(out / "score_wer/score.json", {"wer": wer, "signature": "costs:433"})
        tuned = {"wer_before": 10.0, "wer": wer, "wer_oracle": 2.5} if weights and data_set == "dev" else None
        write_json(out / "weights.json", {"weights": weights or {"score": 1.0}, "tuned": tuned})


@pytest.fixture
def exp(tmp_path):
    """Teachers and students of two seeds."""
    put(tmp_path, "first_pass", wers={"dev": 10.0, "test": 9.0})
    put(tmp_path, "ensemble", 50.0)
    for seed, ppl in ((1, 60.0), (2, 62.0)):
        put(tmp_path, f"teacher_s{seed}", ppl, parameters=1000, label="teacher", seed=seed)
    for seed, ppl in ((1, 79.0), (2, 81.0)):
        put(tmp_path, f"student_ce_s{seed}", ppl, parameters=185, label="student, ce", seed=seed)
    for seed, ppl in ((1, 63.9), (2, 64.1)):
        weights = {"score": 1.0, "lm": 0.25, "length": 0.0}
        wers = {"dev": 6.0 + seed, "test": 5.0 + seed}
        put(tmp_path, f"student_trust_s{seed}", ppl, wers, weights, parameters=185, label="student, trust", seed=seed)
    return tmp_path


def test_rows_are_means_over_seeds_and_shares_of_one_teacher(exp):
    assert table(read(exp)) == [
        ["model", "seeds", "parameters", "of one teacher", "valid ppl", "dev teacher WER", "test teacher WER"],
        ["first pass", "1", "-", "-", "-", "10.00", "9.00"],
        ["ensemble", "1", "2,000", "200.0 %", "50.00", "-", "-"],
        ["teacher", "2", "1,000", "100.0 %", "61.00 ± 1.41", "-", "-"],
        ["student, ce", "2", "185", "18.5 %", "80.00 ± 1.41", "-", "-"],
        ["student, trust", "2", "185", "18.5 %", "64.00 ± 0.14", "7.50 ± 0.71", "6.50 ± 0.71"],
    ]


def test_students_are_compared_with_those_on_labels_alone(exp):
    """Means 64 and 80; Welch: standard error 1.005, 1.04 degrees of freedom, t 12.0 or so."""
    row = versus(read(exp))[1]
    assert row[:3] == ["student, trust", "valid ppl", "0.800"]
    low, high = (float(end) for end in row[3].split(" to "))
    assert (low + high) / 2 == pytest.approx(-16.0, abs=0.01)
    assert (high - low) / 2 == pytest.approx(1.005 * 12.1, rel=0.03)
    assert row[4] == "yes"


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [((60.0, 61.0), "yes"), ((100.0, 101.0), "yes"), ((78.0, 83.0), "no"), ((90.0, 70.0), "no"), ((60.0,), "one seed")],
)
def test_a_difference_is_beyond_noise_if_its_interval_leaves_out_zero(exp, figures, verdict):
    """Either way; labels alone have 79 and 81."""
    for seed, ppl in enumerate(figures, 1):
        put(exp, f"student_b_s{seed}", ppl, parameters=185, label="student, adaptive", seed=seed)
    rows = {row[0]: row for row in versus(read(exp))}
    mean = sum(figures) / len(figures)
    assert rows["student, adaptive"][2] == f"{mean / 80:.3f}" and rows["student, adaptive"][4] == verdict
    if verdict == "one seed":
        assert rows["student, adaptive"][3] == "-"
    else:
        low, high = (float(end) for end in rows["student, adaptive"][3].split(" to "))
        assert (low + high) / 2 == pytest.approx(mean - 80, abs=0.01) and (low > 0 or high < 0) == (verdict == "yes")
    labels = [row[0] for row in table(read(exp))[1:]]  # labels alone before what is named before it
    assert labels == ["first pass", "ensemble", "teacher", "student, ce", "student, adaptive", "student, trust"]


def test_perplexities_stand_before_error_rates(tmp_path):
    put(tmp_path, "a_s1", 60.0, {"dev": 8.0}, label="a")
    put(tmp_path, "b_s1", 60.0, {"a": 8.0}, label="b")
    write_json(tmp_path / "b_s1/ppl/zz.json", {"ppl": 5.0})
    heads = table(read(tmp_path))[0][4:]
    assert heads == ["valid ppl", "zz ppl", "dev teacher WER", "a teacher WER"]


def test_weights_stand_beside_the_rates(exp, capsys):
    assert tuning(read(exp))[1:] == [
        ["student, trust", str(seed), "dev teacher", "score 1 lm 0.25", "10.00", f"{6 + seed:.2f}", "2.50"]
        for seed in (1, 2)
    ]
    out = exp / "RESULTS.md"
    command = ["lm", "report", "--exp", str(exp), "--out", str(out), "--note", "A note.", "--command", "./run.sh"]
    assert main(command) == 0
    text = out.read_text()
    assert text.count("\n\n|model|") == 3  # tables apart
    assert text.count("WER: `costs:433`") == 1 and "A note." in text and "```\n./run.sh\n```" in text
    assert "|student, trust|2|185|18.5 %|64.00 ± 0.14|7.50 ± 0.71|6.50 ± 0.71|" in capsys.readouterr().out


def test_nothing_to_report_is_said(tmp_path, capsys):
    assert main(["lm", "report", "--exp", str(tmp_path), "--out", str(tmp_path / "x.md")]) == 1
    assert "no language model with perplexities" in capsys.readouterr().err
