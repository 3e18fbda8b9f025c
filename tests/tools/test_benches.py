"""Figures of the tools that measure: ratios, medians, steps and batches, of numbers put there by hand."""

import argparse
import contextlib
import itertools
import json
import random
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import bench_feats
import bench_hypotheses
import bench_report
import bench_rescore
import bench_slurm

from kdasr.lm.trie import AwdNetwork, Work, score_lists
from kdasr.networks.awd import AwdLstm


class Clock:
    """Readings of a clock, one after the other."""

    def __init__(self, *steps):
        self.now = itertools.accumulate(steps)

    def __call__(self):
        return next(self.now)


# ------------------------------------------------------------------------------------------------ features


def test_features_are_compared_with_the_cheapest_repeat_of_the_other(monkeypatch, capsys):
    """A minute of audio; six cases a repeat, of which the first repeat is left out; kaldi 2 s, kdasr 1 s and so on."""
    audio = [np.zeros(16000 * 20, np.int16)] * 3
    monkeypatch.setattr(bench_feats, "utterances", lambda count: audio)
    for name in ("kaldi", "fbank", "change_speed"):
        monkeypatch.setattr(bench_feats, name, lambda *_: None)
    monkeypatch.setattr(bench_feats, "kdasr", lambda words: 0)
    slow, fast = [3.0, 2.5, 9.0, 5.0, 7.0, 6.0], [2.0, 1.0, 8.0, 4.0, 5.0, 0.5]
    begun = [0.0] * 6  # the first repeat, which is not measured
    steps = [step for repeat in (slow, fast, slow) for seconds in repeat for step in (0.0, seconds)]
    monkeypatch.setattr(bench_feats, "cpu", Clock(*begun, *steps))
    monkeypatch.setattr(sys, "argv", ["bench_feats.py", "--repeats", "3"])
    bench_feats.main()
    rows = [line.split()[-2:] for line in capsys.readouterr().out.splitlines()[1:7]]
    assert rows == [["30", "1.00"], ["60", "2.00"], ["8", "0.25"], ["15", "0.50"], ["12", "0.40"], ["120", "4.00"]]


def test_cpu_seconds_are_of_user_and_system_and_of_children(monkeypatch):
    used = {0: types.SimpleNamespace(ru_utime=1.0, ru_stime=2.0), -1: types.SimpleNamespace(ru_utime=4.0, ru_stime=8.0)}
    assert (bench_feats.resource.RUSAGE_SELF, bench_feats.resource.RUSAGE_CHILDREN) == (0, -1)
    monkeypatch.setattr(bench_feats.resource, "getrusage", used.__getitem__)
    assert bench_feats.cpu() == 15


def test_utterances_are_as_long_as_wsjs():
    audio = bench_feats.utterances(20)
    seconds = np.array(list(map(len, audio))) / 16000
    assert seconds.mean() == pytest.approx(7.8, abs=0.01) and seconds.std() > 1
    assert all(one.dtype == np.int16 and one.std() == pytest.approx(2000, rel=0.05) for one in audio)


# ---------------------------------------------------------------------------------------------- hypotheses


def utterance(frames, hyps):
    return torch.zeros(frames, 4), hyps, [1 / len(hyps)] * len(hyps)


def test_batches_are_padded_and_as_large_as_allowed():
    """Frames x 4 bins + steps x 10 tokens, padded: a batch that just fits is one, one more number is too many."""
    hyps = [[3, 4], [3, 5]]  # "", 3, 3 4, 3 5: four distinct prefixes
    every = [utterance(frames, hyps) for frames in (5, 6, 8, 9)]
    whole = 4 * (9 * 4 + 4 * 10)
    for bins, sizes in ((whole, [4]), (whole - 1, [3, 1]), (2 * (6 * 4 + 40), [2, 1, 1]), (1, [1, 1, 1, 1])):
        assert [len(one) for one in bench_hypotheses.batches(every, "shared prefixes", bins, 10)] == sizes
    apart = list(bench_hypotheses.batches(every, "K-fold", 10**6, 10))
    assert [(len(x), hyps, weights) for x, hyps, weights in apart[0]] == [
        (frames, [hyp], [1.0]) for frames in (5, 6, 8, 9) for hyp in hyps
    ]
    assert [x for one in bench_hypotheses.batches(every, "encoded once", 300, 10) for x in one] == every


def test_ratios_and_steps_are_those_of_the_figures(monkeypatch, tmp_path, capsys):
    """Two rounds: the cheapest of each row against the cheapest of K-fold. Ends of hypotheses are steps."""
    (tmp_path / "conf.yaml").write_text("batch_bins: 1000\n")
    every = [utterance(150, [[3, 4], [3, 5]]), utterance(50, [[6]])]
    monkeypatch.setattr(bench_hypotheses, "read", lambda args: every)
    monkeypatch.setattr(bench_hypotheses, "load_tokens", lambda path: argparse.Namespace(list=["a"] * 10))
    monkeypatch.setattr(bench_hypotheses, "build", lambda *_: None)
    figures = iter([30.0, 16.0, 6.0, 24.0, 12.0, 8.0])
    monkeypatch.setattr(bench_hypotheses, "epoch", lambda *_: next(figures))
    words = ["--config", str(tmp_path / "conf.yaml"), "--data", "x", "--targets", "x", "--tokens", "x"]
    monkeypatch.setattr(sys, "argv", ["bench_hypotheses.py", *words])
    bench_hypotheses.main()
    first, _, *rows = capsys.readouterr().out.splitlines()
    assert (
        "2 utterances, 2 s of audio, 1.50 hypotheses each; 8 decoder steps, 6 distinct prefixes (1.33 to one)" in first
    )
    assert [row.split()[-2:] for row in rows] == [["24.0", "1.00"], ["12.0", "2.00"], ["6.0", "4.00"]]


def test_hypotheses_are_cut_by_their_lengths(monkeypatch, tmp_path):
    tables = {"hyps": "3 4 5 6", "hyp_lens": "2 0 2", "weights": "0.5 0.25 0.25"}
    for name, line in tables.items():
        (tmp_path / name).write_text(f"u1 {line}\n")
    (tmp_path / "feats.scp").write_text("u1 x\nu0 y\n")
    monkeypatch.setattr("kaldiio.load_mat", lambda entry: np.ones((3, 2), np.float32))
    ((x, hyps, weights),) = bench_hypotheses.read(argparse.Namespace(data=tmp_path, targets=tmp_path, utterances=5))
    assert (x.shape, hyps, weights) == ((3, 2), [[3, 4], [], [5, 6]], [0.5, 0.25, 0.25])


@pytest.mark.parametrize("row", bench_hypotheses.ROWS)
def test_only_the_row_that_encodes_once_does_not_share(row):
    """What is patched for it is as before afterwards, and every row has the texts and weights that it is about."""
    plain, shared, given = bench_hypotheses.prefixes.prefixes_of, [], []

    class Model(torch.nn.Linear):
        def forward(self, speech, lens, text, text_lens, **more):
            now = bench_hypotheses.prefixes.prefixes_of
            shared.append(getattr(now, "keywords", {}).get("share", True))
            given.append((lens.tolist(), text.tolist(), text_lens.tolist(), more))
            return super().forward(speech).mean(), None, None

    work = [[utterance(2, [[3, 4], [5]]), utterance(3, [[6]])]]
    assert bench_hypotheses.epoch(Model(4, 1), work, row) >= 0
    assert shared == [row != "encoded once"] and bench_hypotheses.prefixes.prefixes_of is plain
    ((lens, text, text_lens, more),) = given
    assert (lens, text, text_lens) == ([2, 3], [[3, 4], [6, -1]], [2, 1])
    if row == "K-fold":
        assert more == {}
        return
    assert {name: value.tolist() for name, value in more.items()} == {
        "kd_hyps": [[3, 4, 5], [6, -1, -1]], "kd_hyp_lens": [[2, 1], [1, -1]], "kd_weights": [[0.5, 0.5], [1.0, 0.0]],
    }  # fmt: skip


# --------------------------------------------------------------------------------------------------- report


def test_times_of_a_page_are_medians_and_the_slowest(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench_report, "make_exp", lambda directory, *_: directory / "exp")

    def made(words):
        Path(words[-1]).write_bytes(bytes(2_500_000))
        return 0

    monkeypatch.setattr("kdasr.cli.main", made)
    monkeypatch.setattr(bench_report.time, "perf_counter", Clock(1.0, 7.0))
    monkeypatch.setattr(bench_report.time, "process_time", Clock(1.0, 3.0))
    monkeypatch.setattr(bench_report, "CHROMIUM", str(tmp_path))
    monkeypatch.setattr(bench_report, "DRIVER", str(tmp_path))
    monkeypatch.setattr(bench_report, "opened", lambda page, rounds: {"opened": [1.0, 9.0, 2.0, 0.5, 3.0]})
    monkeypatch.setattr(sys, "argv", ["bench_report.py", "--dir", str(tmp_path / "x")])
    assert bench_report.main() == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        "20 systems x 1,000 utterances x 2 searches", "made 7.00 s (3.00 CPU s)", "size 2.50 MB",
        "opened 2.00 s (slowest of 5: 9.00)",
    ]  # fmt: skip


def test_seconds_are_no_milliseconds(monkeypatch):
    class Driver:
        def execute_script(self, script, *_):
            return (
                2500.0
                if "loadEventEnd" in script
                else 40.0
                if "button" in script
                else 70.0
                if "change" in script
                else 1
            )

    driver = types.SimpleNamespace(execute_script=Driver().execute_script)
    monkeypatch.setattr(bench_report, "chromium", lambda: contextlib.nullcontext(driver))
    monkeypatch.setattr(bench_report, "visit", lambda *_: None)
    assert bench_report.opened(Path("x"), 2) == {"opened": [2.5] * 2, "sorted": [0.04] * 2, "compared": [0.07] * 2}


def test_what_is_said_has_the_error_rate():
    """Seven tenths of the errors are substitutions, the rest insertions and deletions alike."""
    generator = random.Random(1)
    words = [f"w{k}" for k in range(20_000)]
    for rate in (0.1, 0.4):
        kept, total = 0, 0
        found = bench_report.said(words, rate, ["x"], generator)
        kept, total = sum(word != "x" for word in found), len(found)
        wrong = found.count("x")  # substitutions and insertions
        assert wrong / 20_000 == pytest.approx(0.85 * rate, rel=0.1)
        assert 1 - kept / 20_000 == pytest.approx(0.85 * rate, rel=0.1)  # substitutions and deletions
        assert total == pytest.approx(20_000, rel=0.02)


def test_systems_are_a_teacher_and_labels_of_three_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr("kdasr.cli.main", lambda words: 0)
    exp = bench_report.make_exp(tmp_path, 8, 2, 3, random.Random(0))
    found = [json.loads(path.read_text()) for path in sorted(exp.glob("*/kdasr.json"))]
    assert [(one["label"], one["seed"], one["teacher"]) for one in found] == [
        ("teacher", 1, None), *(("student on references", seed, None) for seed in (1, 2, 3)),
        *(("objective 2", seed, "system000") for seed in (1, 2, 3)), ("objective 3", 1, "system000"),
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------- rescore


LISTS = [[[3, 1, 4], [3, 1, 5], [3, 1], []], [[3]], [[7, 2, 7, 2], [7, 2, 2]]]


def test_padded_batches_score_what_the_tree_scores():
    torch.manual_seed(0)
    lm = AwdLstm(11, embed=6, hidden=8, last=5, layers=2, experts=3).eval()
    tree, work = score_lists([AwdNetwork(lm)], LISTS)
    for size in (1, 2, 100):
        found, steps = bench_rescore.padded(lm, LISTS, size)
        for one, other in zip(found, tree, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        assert steps == (work.steps, work.steps) == (12 + 2 + 9, 23)


def test_ratios_of_rescoring_are_those_of_the_figures(monkeypatch, capsys):
    """Of each row the cheapest round by CPU; 40 steps one by one, 10 in the tree."""
    exact = [np.array([-1.0, -2.0])]
    monkeypatch.setattr(bench_rescore, "padded", lambda *_: (exact, Work(40, 40)))
    answers = {0: (exact, Work(40, 10)), 3: ([np.array([-1.5, -2.0])], Work(40, 5))}
    monkeypatch.setattr(bench_rescore, "score_lists", lambda _networks, _ids, history=0: answers[history])
    monkeypatch.setattr(bench_rescore, "AwdNetwork", lambda lm: None)
    cpu, wall = [9.0, 4.0, 3.0, 8.0, 2.0, 5.0], [10.0, 5.0, 4.0, 9.0, 7.0, 6.0]
    monkeypatch.setattr(time, "process_time", Clock(*(step for one in cpu for step in (0.0, one))))
    monkeypatch.setattr(time, "perf_counter", Clock(*(step for one in wall for step in (0.0, one))))
    args = argparse.Namespace(batch=2, history=[3], rounds=2)
    bench_rescore.compare(None, [], args)
    rows = [line.rsplit(maxsplit=6) for line in capsys.readouterr().out.splitlines()[1:4]]
    assert rows == [
        ["padded batches", "40", "1.00", "8.00", "9.00", "1.00", "0.0e+00"],
        ["tree", "10", "4.00", "2.00", "7.00", "4.00", "0.0e+00"],
        ["history 3", "5", "8.00", "3.00", "4.00", "2.67", "5.0e-01"],
    ]
    answers[0] = ([np.array([-1.0, -2.02])], Work(40, 10))
    monkeypatch.setattr(time, "process_time", Clock(*range(100)))
    monkeypatch.setattr(time, "perf_counter", Clock(*range(100)))
    with pytest.raises(AssertionError):  # the tree is exact
        bench_rescore.compare(None, [], args)


def test_steps_of_lists_are_counted_by_hand(capsys):
    """a b a b and a b c b: 10 steps, 8 prefixes; windows of a word by their places: 1 + 1 + 1 + 2 + 1. Twice as one."""
    hyps = [("a", "b", "a", "b"), ("a", "b", "c", "b")]
    bench_rescore.print_steps([hyps, [*hyps, ("a",)]], 6, [1, 2])
    steps, tree, one, two = 10 + 12, 7 + 7, 6 + 6, 7 + 7
    words = np.mean([4, 4, 4, 4, 1])
    expected = f"{words:.1f} 6 {2.5:.0f} {steps / tree:.2f} {steps / one:.2f} {steps / two:.2f}"
    assert capsys.readouterr().out.split() == expected.split()


def test_choices_come_in_the_order_of_their_sums():
    costs = [[0.0, 0.5, 2.0], [0.0, 1.0], [0.0, 0.25, 0.75, 3.0]]
    found = list(bench_rescore.cheapest(costs))
    sums = [sum(row[k] for row, k in zip(costs, chosen, strict=True)) for chosen in found]
    assert sums == sorted(sums) and sorted(found) == list(itertools.product(range(3), range(2), range(4)))
    lists = bench_rescore.generated(2, 30, 4, 4)
    assert [len(set(hyps)) for hyps in lists] == [30, 30] == [len(hyps) for hyps in lists]


def test_the_longest_lists_of_an_archive_are_taken(monkeypatch):
    records = [
        {"hyps": [{"text": f"{name} {k}"} for k in range(size)]} for name, size in (("a", 2), ("b", 5), ("c", 4))
    ]
    monkeypatch.setattr("kdasr.nbest.archive.read_nbest", lambda directory: records)
    found = bench_rescore.read(argparse.Namespace(nbest="x", size=4, utterances=2))
    assert found == [[(name, str(k)) for k in range(4)] for name in "bc"]


# ---------------------------------------------------------------------------------------------------- SLURM


def test_a_row_has_the_median_and_the_largest():
    assert bench_slurm.row("x", [1.0, 9.0, 2.0, 4.0]) == "| x | 3.0 s | 9.0 s | 4 times |"


def test_calls_are_counted_a_minute_and_in_the_busiest_one(monkeypatch, tmp_path):
    """Ten calls in two minutes; from second 30 to before second 90 there are five."""
    moments = [0, 10, 30, 40, 50, 60, 89, 90, 100, 119]
    monkeypatch.setattr(bench_slurm.time, "time", Clock(0.0, 120.0))

    class Process:
        def wait(self, seconds):
            assert seconds == 120
            (tmp_path / "x/calls").write_text("".join(f"{moment}\n" for moment in moments))
            raise bench_slurm.subprocess.TimeoutExpired("x", seconds)

        def send_signal(self, _number):
            pass

        def communicate(self):
            pass

    monkeypatch.setattr(bench_slurm, "start", lambda *_, **__: Process())
    (row,) = bench_slurm.calls(tmp_path / "x", 2.0, 7)
    most = max(sum(first <= moment < first + 60 for moment in moments) for first in range(120))
    assert most == 5
    assert row == "| calls to the controller a minute, array of 7 | 5.0 | 5 | 2 minutes |"
