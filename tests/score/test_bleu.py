"""Scores of translations: sacrebleu itself, run on the same lines, is the oracle."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.score import bleu, bleu_samples
from kdasr.score.against import against, told
from kdasr.score.measures import BLEU, WER

LINE = "Ein Mann, zwei Männer und eine Frau spielen Fußball im Park . (heute) um 9:30 Uhr bei 3,5 °C !"
WORDS = LINE.split()
SENTENCES = 40


def changed(sentence, rate, generator):
    kept = [generator.choice(WORDS) if generator.random() < rate else word for word in sentence]
    return kept[: generator.randint(max(1, len(kept) - 2), len(kept))]


def write(path, lines, names):
    path.write_text(
        "".join(f"{name} {' '.join(line)}".rstrip() + "\n" for name, line in zip(names, lines, strict=True))
    )
    path.with_suffix(".txt").write_text("".join(" ".join(line) + "\n" for line in lines))


@pytest.fixture
def files(tmp_path):
    """References, sources and two systems as Kaldi texts, and each without names as .txt for sacrebleu."""
    generator = random.Random(3)
    names = [f"s{k:02d}" for k in range(SENTENCES)]
    refs = [generator.choices(WORDS, k=generator.randint(3, 12)) for _ in names]
    write(tmp_path / "ref", refs, names)
    write(tmp_path / "src", [["source", name] for name in names], names)
    for name, rate in (("good", 0.2), ("bad", 0.3)):
        hyps = [changed(ref, rate, generator) for ref in refs]
        hyps[5] = []
        write(tmp_path / name, hyps, names)
    return tmp_path


def score(files, hyp, *options):
    words = ["score", "--type", "bleu", "--ref", files / "ref", "--hyp", files / hyp, "--dir", files / f"out_{hyp}"]
    return main([str(word) for word in (*words, *options)])


def scored(files, hyp):
    return json.loads((files / f"out_{hyp}/score.json").read_text())


def sacrebleu(files, *options):
    """What the program prints, as JSON."""
    command = [sys.executable, "-m", "sacrebleu", "ref.txt", "--width", "4", "--format", "json", *options]
    done = subprocess.run(command, cwd=files, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_scores_are_those_that_sacrebleu_prints(files, capsys):
    assert score(files, "good", "--src", files / "src") == 0
    result = scored(files, "good")
    theirs, chrf, ter = sacrebleu(files, "-i", "good.txt", "-m", "bleu", "chrf", "ter", "--confidence")
    assert (result["bleu"], result["chrf"], result["ter"]) == (theirs["score"], chrf["score"], ter["score"])
    assert 20 < result["bleu"] < 80
    verbose = theirs["verbose_score"]
    assert f"BP = {result['brevity_penalty']:.3f}" in verbose and result["brevity_penalty"] < 1
    assert f"hyp_len = {result['counts']['sys_len']} ref_len = {result['counts']['ref_len']}" in verbose
    assert verbose.startswith("/".join(f"{one:.1f}" for one in result["precisions"]))
    low, high = result["interval95"]
    assert (high - low) / 2 == pytest.approx(theirs["confidence_var"], abs=1e-4)
    assert low < theirs["confidence_mean"] < high
    without = [part for part in theirs["signature"].split("|") if not part.startswith(("bs:", "seed:"))]
    assert result["signature"] == "|".join(without)
    assert {"bs:1000", "seed:12345"} <= set(theirs["signature"].split("|"))
    assert result["bootstrap"] == {"samples": 1000, "seed": 12345}
    assert result["counts"]["sentences"] == SENTENCES and result["counts"]["empty"] == 1
    printed = capsys.readouterr().out
    assert printed == (files / "out_good/result.txt").read_text()
    assert printed.startswith(f"BLEU {result['bleu']:.2f}, ") and f"TER {result['ter']:.2f}\n" in printed
    assert "--id_form" not in result["command"]


def test_what_sentences_add_is_the_whole(files):
    assert score(files, "good", "--src", files / "src") == 0
    rows = bleu.read_rows(files / "out_good/per_sentence.jsonl")
    assert list(rows) == [f"s{k:02d}" for k in range(SENTENCES)]
    assert rows["s07"]["src"] == "source s07" and rows["s05"]["hyp"] == ""
    every = [bleu_samples.statistics(row) for row in rows.values()]
    assert bleu_samples.bleu(np.sum(every, axis=0)) == pytest.approx(scored(files, "good")["bleu"], abs=1e-4)
    assert BLEU.cost(bleu_samples.statistics(rows["s05"])) == 100
    assert BLEU.cost((4, 4, 4, 3, 2, 1, 4, 3, 2, 1)) == 0
    assert BLEU.cost((2, 2, 2, 1, 0, 0, 2, 1, 0, 0)) == 0  # there are no three words to be right


def test_two_systems_are_compared_as_sacrebleu_compares_them(files, capsys):
    for name in ("bad", "good"):
        assert score(files, name) == 0
    capsys.readouterr()
    assert score(files, "good", "--against", files / "out_bad") == 0
    (result,) = json.loads((files / "out_good/against.json").read_text())["compared"]
    theirs, ours = sacrebleu(files, "-i", "bad.txt", "good.txt", "-m", "bleu", "--paired-bs")
    test = result["sacrebleu"]
    assert test["p"] == pytest.approx(ours["BLEU"]["p_value"], abs=1e-4) and 0 < test["p"] < 1
    assert (test["samples"], str(test["seed"])) == (1000, "12345")
    assert test["mean"] == pytest.approx([ours["BLEU"]["mean"], theirs["BLEU"]["mean"]], abs=1e-3)
    assert test["half_interval95"] == pytest.approx([ours["BLEU"]["ci"], theirs["BLEU"]["ci"]], abs=1e-3)
    assert result["bootstrap"]["p"] == pytest.approx(test["p"])  # what reports compute from statistics alone
    assert result["rate"] == [scored(files, "good")["bleu"], scored(files, "bad")["bleu"]]
    difference = result["rate"][0] - result["rate"][1]
    assert result["bootstrap"]["difference"] == pytest.approx(difference, abs=1e-3) and difference > 0
    assert result["bootstrap"]["low"] < difference < result["bootstrap"]["high"]
    verdict = "significantly better" if test["p"] < 0.05 else "no significant difference"
    assert capsys.readouterr().out.endswith(f"p {test['p']:.3f}: {verdict} at the 5 % level\n")
    turned = against(files / "out_bad", files / "out_good")["bootstrap"]
    assert (turned["low"], turned["high"]) == (-result["bootstrap"]["high"], -result["bootstrap"]["low"])


def test_runs_of_two_systems_are_compared_by_their_means(files):
    for name in ("bad", "good"):
        assert score(files, name) == 0
    bad, good = (
        [bleu_samples.statistics(row) for row in bleu.read_rows(files / f"out_{name}/per_sentence.jsonl").values()]
        for name in ("bad", "good")
    )
    one = bleu_samples.paired([bad], [good])
    assert bleu_samples.paired([bad, bad], [good, good]) == one
    half = bleu_samples.paired([bad], [bad, good])
    assert half.difference == pytest.approx(one.difference / 2)
    assert (half.low, half.high) == pytest.approx((one.low / 2, one.high / 2))
    assert bleu_samples.paired([bad], [bad]).p == pytest.approx(1 / 1001)  # sacrebleu: no difference is not by chance


def test_by_how_much_a_sentence_moves_bleu_is_its_derivative(files):
    """By counting each sentence a little more or less; the deviation over sentences is that of the bootstrap."""
    for name in ("bad", "good"):
        assert score(files, name) == 0
    runs = [
        [bleu_samples.statistics(row) for row in bleu.read_rows(files / f"out_{name}/per_sentence.jsonl").values()]
        for name in ("bad", "good")
    ]
    longer = [(tokens + 3, *rest) for tokens, *rest in runs[1]]  # no brevity penalty
    found = BLEU.linear([*runs, longer])
    assert found.scores[:2] == pytest.approx([scored(files, name)["bleu"] for name in ("bad", "good")], abs=1e-4)
    many = 10**6  # whole numbers, as sacrebleu counts
    for row, run in zip(found.influence, [*runs, longer], strict=True):
        sums = np.sum(run, axis=0)
        for place in (0, 5, 17):
            up, down = (bleu_samples.bleu(many * sums + way * 1000 * np.array(run[place])) for way in (1, -1))
            assert row[place] / SENTENCES == pytest.approx((up - down) / 0.002, rel=1e-3, abs=1e-4)
        assert row.sum() == pytest.approx(0, abs=1e-6)
    deviation = found.influence[1].std(ddof=1) / SENTENCES**0.5
    assert deviation == pytest.approx(bleu_samples.resampled(runs[1]).std(), rel=0.15)


def test_bleu_without_a_right_sentence_has_no_derivative_by_what_is_not_there():
    found = BLEU.linear([[(4, 4, 2, 1, 0, 0, 4, 3, 2, 1), (4, 5, 0, 0, 0, 0, 4, 3, 2, 1)]])
    assert np.isfinite(found.influence).all() and found.influence[0, 0] > 0
    nothing = BLEU.linear([[(0, 4, 0, 0, 0, 0, 0, 0, 0, 0)]])
    assert nothing.scores == 0 and nothing.influence.tolist() == [[0]]


def test_a_missing_translation_is_an_empty_one_and_is_told(files, capsys):
    lines = (files / "good").read_text().splitlines(keepends=True)
    (files / "less").write_text("".join(lines[:-3]))
    (files / "blank").write_text("".join([*lines[:-3], *(f"{line.split()[0]}\n" for line in lines[-3:])]))
    assert score(files, "less") == score(files, "blank") == 0
    less, blank = scored(files, "less"), scored(files, "blank")
    assert (less["counts"]["missing"], blank["counts"]["missing"]) == (3, 0)
    assert less["counts"]["empty"] == blank["counts"]["empty"] == 4 and less["bleu"] == blank["bleu"]
    assert f"Scored {SENTENCES} sentences, 3 not present in hyp.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--wsj_filter"], "--wsj_filter"),
        (["--nlsyms", "x", "--case_sensitive"], "--nlsyms, --case_sensitive"),
        (["--utt2spk", "x"], "--utt2spk"),
        (["--id_form", "wsj"], "--id_form"),
        (["--check"], "--check"),
    ],
)
def test_options_of_error_rates_are_refused(files, capsys, options, told):
    assert score(files, "good", *options) == 1
    assert f"{told}: not for --type bleu" in capsys.readouterr().err
    assert not (files / "out_good").exists()


def test_what_does_not_belong_together_is_refused(files, capsys):
    def refused(*options, hyp="good"):
        assert score(files, hyp, *options) == 1
        return capsys.readouterr().err

    (files / "more").write_text((files / "good").read_text() + "t1 ein Wort\n")
    assert "more" in (told := refused(hyp="more")) and "t1" in told
    (files / "few").write_text("s00 a\n")
    assert "lacks the source of s01" in refused("--src", files / "few")
    (files / "x.trn").write_text("a (s00)\n")
    assert "translations are scored from Kaldi texts" in refused(hyp="x.trn")
    words = [files / "ref", files / "good", files / "src", files / "w"]
    assert main("score --ref {} --hyp {} --src {} --dir {} --id_form wsj".format(*words).split()) == 1
    assert "--src" in capsys.readouterr().err
    write(files / "ref", [[]] * SENTENCES, [f"s{k:02d}" for k in range(SENTENCES)])
    assert "there is no BLEU of none" in refused()


def test_other_references_and_other_sets_are_not_compared(files):
    score(files, "good")
    score(files, "bad")
    path = files / "out_bad/per_sentence.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:]))
    with pytest.raises(UserError, match=r"out_bad/per_sentence\.jsonl: lacks sentence s00"):
        against(files / "out_good", files / "out_bad")
    path.write_text(json.dumps(json.loads(lines[0]) | {"ref": "other"}) + "\n" + "".join(lines[1:]))
    with pytest.raises(UserError, match="s00 has another reference"):
        against(files / "out_good", files / "out_bad")
    path.write_text("".join(lines).replace('"total"', '"totals"', 1))
    with pytest.raises(UserError, match=r"per_sentence\.jsonl:1: has no 'total'; score the set again"):
        against(files / "out_good", files / "out_bad")


def test_a_measure_says_which_way_is_better():
    assert BLEU.gain(30.0, 20.0) == 10 and WER.gain(30.0, 20.0) == -10
    assert (BLEU.better, WER.better) == ("positive", "negative") and (BLEU.sign, WER.sign) == (1, -1)
    assert (BLEU.told(27.5), WER.told(7.5)) == ("27.50 BLEU", "7.50 % WER")
    assert (BLEU.axis("test"), WER.axis("test")) == ("BLEU on test", "WER on test (%)")


@pytest.mark.parametrize(("difference", "verdict"), [(1.5, "better"), (-1.5, "worse")])
def test_what_is_significant_is_told_with_its_direction(difference, verdict):
    bootstrap = {"difference": difference, "low": difference - 1, "high": difference + 1, "p": 0.01}
    result = {"against": "d", "type": "bleu", "rate": [30.0 + difference, 30.0], "bootstrap": bootstrap}
    text = told(result | {"sacrebleu": {"p": 0.01, "samples": 1000, "seed": "12345"}})
    assert f"BLEU {30 + difference:.2f} here, 30.00 there\ndifference {difference:+.2f} points" in text
    assert text.endswith(f"1000 samples, seed 12345: p 0.010: significantly {verdict} at the 5 % level\n")
