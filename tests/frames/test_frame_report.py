"""The tables of framewise acoustic models, of figures put there by hand."""

import pytest

from kdasr.cli import main
from kdasr.files import write_json
from kdasr.frames.report import few_table, kept, main_table, read, specialist_table


def put(exp, name, label, seed, accuracies, wers=None, *, valid=50.0, share=1.0, temperature=None, models=None):
    """A network's directory (or with `models` an ensemble's): frame accuracies and word error rates by set."""
    if models is None:
        about = {
            "label": label,
            "recipe": label,
            "baseline": label == "baseline",
            "parameters": 1000,
            "hidden": 8,
            "layers": 2,
            "temperature": temperature,
        }
        about |= {"soft_weight": None, "teachers": 0, "share": share, "frames": int(5000 * share), "seed": seed}
        about |= {"epochs": 10, "best_epoch": 10 - seed, "train_accuracy": valid + 10, "valid_accuracy": valid}
        write_json(exp / name / "kdasr.json", about | {"cpu_seconds": 60.0 * seed})
    for data, accuracy in accuracies.items():
        place = exp / name / f"predict_{data}"
        about = {"models": models or [name], "frames": 200, "right": round(2 * accuracy), "accuracy": accuracy}
        write_json(place / "predict.json", about | {"data": data, "cpu_seconds": 1.0})
        if data in (wers or {}):
            score = {"wer": wers[data], "interval95": [wers[data] - 1, wers[data] + 2], "signature": "costs:433"}
            write_json(place / "decode/decode.json", {"cpu_seconds": 2.0})
            write_json(place / "decode/score_wer/score.json", score)


@pytest.fixture
def exp(tmp_path):
    """Two baselines of mean 60, an ensemble 2 above them, distilled networks at T 1 and 2, few data, specialists."""
    for seed, shift in ((1, -1.0), (2, 1.0)):
        name = f"baseline_s{seed}"
        put(tmp_path, name, "baseline", seed, {"test": 60 + shift, "dev": 61 + shift}, {"test": 20 + shift})
    models = ["baseline_s1", "baseline_s2"]
    put(tmp_path, "ensemble", "", 0, {"train": 75.5, "test": 62.0, "dev": 60.5}, {"test": 18.0}, models=models)
    for seed, accuracy in ((1, 61.6), (2, 61.8)):
        put(tmp_path, f"T2_s{seed}", "distilled", seed, {"test": accuracy, "dev": 62}, valid=52.0, temperature=2.0)
    put(tmp_path, "T1_s1", "distilled", 1, {"test": 64.0}, valid=51.0, temperature=1.0)
    put(tmp_path, "hard_s1", "hard", 1, {"test": 45.0}, {"test": 40.0}, share=0.03)
    put(tmp_path, "soft_s1", "soft", 1, {"test": 57.0}, {"test": 25.0}, share=0.03, temperature=2.0)
    states = [{"states": ["A.0", "E.0", "I|.0"]}, {"states": [f"B.{k}" for k in range(12)]}]
    about = {"generalist": "baseline", "groups": states, "temperature": 2.0, "cpu_seconds": 30.4}
    write_json(tmp_path / "specialists_s1/specialists.json", about | {"alone": 120, "together": 123, "tested": 200})
    return tmp_path


def lines(table):
    return ["|".join(row) for row in table]


def test_main_table(exp):
    """Deviations of 59 and 61 are 1.41; the ensemble is the sum of its members."""
    groups, ensemble = read(exp)
    assert lines(main_table([one for one in groups if one.share == 1], ensemble)) == [
        "system|T|paper frame accuracy|paper WER|train frame accuracy|dev frame accuracy|test frame accuracy|test WER|"
        "seeds|parameters|CPU s",
        "baseline|-|58.9 %|10.9 %|60.00 ± 0.00 %|61.00 ± 1.41 %|60.00 ± 1.41 %|20.00 ± 1.41 %|2|1,000|90",
        "ensemble of 2|-|61.1 %|10.7 %|75.50 %|60.50 %|62.00 %|18.00 %|1|2,000|180",
        "distilled|1|60.8 %|10.7 %|61.00 %|-|64.00 %|-|1|1,000|60",
        "distilled|2|60.8 %|10.7 %|62.00 ± 0.00 %|62.00 ± 0.00 %|61.70 ± 0.14 %|-|2|1,000|90",
    ]


def test_an_ensemble_of_networks_that_are_not_here(exp):
    (exp / "baseline_s2/kdasr.json").unlink()
    groups, ensemble = read(exp)
    row = main_table(groups, ensemble)[2]
    assert row[0] == "ensemble of 2" and row[-3:] == ["1", "-", "-"]


def test_what_the_distilled_network_keeps(exp):
    """T 2 is better on the validation set: 80 and 90 % of 2 points on test; 5 % sd 7.07, t(1) 12.7: 85 ± 63.5."""
    groups, ensemble = read(exp)
    (said,) = kept(groups, ensemble)
    assert "at T = 2 (the best of 2 by validation accuracy)" in said
    assert "85 % on test (95 % interval over its seeds 21 to 149 %) of 2.00 points" in said
    assert "on dev the ensemble gains nothing (-0.50 points)" in said
    assert kept(groups, None) == [] and kept([one for one in groups if one.label != "distilled"], ensemble) == []
    assert "At T" not in said
    put(exp, "T1_s1", "distilled", 1, {"test": 64.0}, valid=53.0, temperature=1.0)  # now T 1 is, with one seed
    (said,) = kept(*read(exp))
    assert "at T = 1 (the best of 2 by validation accuracy) keeps 200 % on test (one seed) of 2.00 points" in said
    assert "At T = 2: on dev the ensemble gains nothing (-0.50 points); 85 % on test (95 % interval" in said
    for name in ("T2_s1", "T2_s2"):
        (exp / name / "kdasr.json").unlink()
    groups, ensemble = read(exp)
    assert "at T = 1 (the best of 1 by validation accuracy) keeps 200 % on test (one seed)" in kept(groups, ensemble)[0]


def test_few_data(exp):
    assert lines(few_table(read(exp)[0])[1:]) == [
        "100 %|hard|-|63.4 %|58.9 %|60.00 ± 0.00 %|61.00 ± 1.41 %|60.00 ± 1.41 %|20.00 ± 1.41 %|2|5,000|8.5 of 10",
        "3 %|hard|-|67.3 %|44.5 %|60.00 %|-|45.00 %|40.00 %|1|150|9 of 10",
        "3 %|soft|2|65.4 %|57.0 %|60.00 %|-|57.00 %|25.00 %|1|150|9 of 10",
    ]
    put(exp, "all_s1", "hard", 1, {"test": 59.5})  # then the baselines are not needed
    assert lines(few_table(read(exp)[0])[1:2]) == [
        "100 %|hard|-|63.4 %|58.9 %|60.00 %|59.50 %|-|1|5,000|9 of 10",
    ]


def test_specialists(exp):
    assert specialist_table(exp)[1:] == [
        ["specialists_s1", "baseline", "2, of 3 12 states", "2", "200", "60.00 %", "61.50 %", "+1.50", "30"]
    ]


def test_the_file(exp, capsys):
    out = exp / "RESULTS.md"
    command = ["frames", "report", "--exp", str(exp), "--out", str(out), "--note", "A note.", "--command", "./run.sh"]
    assert main(command) == 0
    text = out.read_text()
    assert text.count("\n\n|system|") == text.count("\n\n|training data|") == text.count("\n\n|specialists|") == 1
    assert "A note." in text and "```\n./run.sh\n```" in text and text.count("Signature: `costs:433`") == 1
    assert "in points: test ± 1.50." in text
    assert "- specialists_s1: `A.0` `E.0` `I|.0`; `B.0`" in text and "`B.7` ..." in text and "`B.8`" not in text
    assert "All networks together: 9.0 CPU minutes." in text  # 1 and 2 of two pairs, 1 of three
    assert "7 networks, 9.0 CPU minutes" in capsys.readouterr().out


def test_nothing_to_report_is_said(tmp_path, capsys):
    assert main(["frames", "report", "--exp", str(tmp_path), "--out", str(tmp_path / "x.md")]) == 1
    assert "no network (kdasr.json of kdasr frames train)" in capsys.readouterr().err
