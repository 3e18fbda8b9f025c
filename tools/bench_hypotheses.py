#!/usr/bin/env python3
r"""What an epoch on K hypotheses of each utterance costs, in CPU seconds, against the plain K-fold data set.

| row | what it does |
|---|---|
| K-fold | ESPnet's own path: K pairs of audio and hypothesis an utterance, each pair encoded and decoded alone |
| encoded once | the audio is encoded once for its K hypotheses |
| shared prefixes | and the decoder runs once on what the hypotheses have in common: what `kdasr train` does |

    tools/bench_hypotheses.py --config egs/wsj/conf/mini_student.yaml --data egs/wsj/dump/fbank/train_si284 \
        --targets egs/wsj/exp/teacher_mini_s1/targets_seq_k5_b5 --tokens egs/wsj/dump/tokens/char

Each row sees the same utterances in the same order, in batches of the config's batch_bins, forward, backward and
optimiser step, one thread. The rows take turns, so that what else the machine does hits all alike.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import yaml
from torch.nn.utils.rnn import pad_sequence

from kdasr.asr.task import KDTask
from kdasr.data.tokens import load_tokens
from kdasr.files import read_table
from kdasr.networks import prefixes
from kdasr.targets.files import distinct_prefixes

Utterance = tuple[torch.Tensor, list[list[int]], list[float]]  # features (T, F), K hypotheses, their weights
ROWS = ("K-fold", "encoded once", "shared prefixes")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config", required=True, help="the student's configuration")
    add("--data", required=True, help="feature directory")
    add("--targets", required=True, help="targets directory of K hypotheses an utterance (kdasr targets)")
    add("--tokens", required=True, help="token directory")
    add("--utterances", type=int, default=200, help="drawn at random, seed 1 (default 200)")
    add("--rounds", type=int, default=2, help="epochs of each row; the cheapest counts (default 2)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    config = yaml.safe_load(Path(args.config).read_text(encoding="utf-8"))
    utterances = read(args)
    vocabulary = load_tokens(args.tokens).list
    hyps = [hyp for _, one, _ in utterances for hyp in one]
    steps = sum(len(hyp) + 1 for hyp in hyps)
    distinct = sum(shared_steps(one) for _, one, _ in utterances)
    print(
        f"{len(utterances)} utterances, {sum(len(x) for x, _, _ in utterances) / 100:.0f} s of audio, "
        f"{len(hyps) / len(utterances):.2f} hypotheses each; {steps} decoder steps, {distinct} distinct prefixes "
        f"({steps / distinct:.2f} to one)"
    )
    bins = config["batch_bins"]
    spent: dict[str, list[float]] = {row: [] for row in ROWS}
    for _ in range(args.rounds):
        for row in ROWS:
            model = build(config, vocabulary, utterances[0][0].size(1))
            spent[row].append(epoch(model, list(batches(utterances, row, bins, len(vocabulary))), row))
            print(f"  {row}: {spent[row][-1]:.1f} CPU s", file=sys.stderr)
    worst = min(spent["K-fold"])
    print(f"{'':16} {'CPU s':>7} {'K-fold / row':>13}")
    for row in ROWS:
        print(f"{row:16} {min(spent[row]):7.1f} {worst / min(spent[row]):13.2f}")


def read(args: argparse.Namespace) -> list[Utterance]:
    """Utterances with features and targets."""
    import kaldiio

    feats, tables = read_table(Path(args.data) / "feats.scp"), {}
    for name in ("hyps", "hyp_lens", "weights"):
        tables[name] = read_table(Path(args.targets) / name)
    keys = sorted(feats.keys() & tables["hyps"].keys())
    keys = random.Random(1).sample(keys, min(args.utterances, len(keys)))
    found = []
    for key in keys:
        tokens, lens = ([int(i) for i in tables[name][key].split()] for name in ("hyps", "hyp_lens"))
        ends = [sum(lens[: k + 1]) for k in range(len(lens))]
        hyps = [tokens[end - n : end] for n, end in zip(lens, ends, strict=True)]
        weights = [float(w) for w in tables["weights"][key].split()]
        found.append((torch.tensor(kaldiio.load_mat(feats[key])), hyps, weights))
    return sorted(found, key=lambda one: len(one[0]))


def shared_steps(hyps: Sequence[Sequence[int]]) -> int:
    """Distinct prefixes of an utterance's hypotheses."""
    return distinct_prefixes([token for hyp in hyps for token in hyp], [len(hyp) for hyp in hyps])


def build(config: dict[str, Any], vocabulary: list[str], bins: int) -> Any:
    """The student, with seed 1."""
    args = vars(KDTask.get_parser().parse_args([]))
    args.update({key: value for key, value in config.items() if key in args})
    args.update(token_list=vocabulary, input_size=bins, normalize=None)
    torch.manual_seed(1)
    return KDTask.build_model(argparse.Namespace(**args)).train()


def batches(utterances: list[Utterance], row: str, bins: int, vocabulary: int) -> Iterator[list[Utterance]]:
    """Batches of similar length as ESPnet's numel sampler cuts them: padded frames x bins + steps x tokens."""
    if row == "K-fold":
        utterances = [(x, [hyp], [1.0]) for x, hyps, _ in utterances for hyp in hyps]
    batch: list[Utterance] = []
    for one in utterances:
        more = [*batch, one]
        frames = max(len(x) for x, _, _ in more) * one[0].size(1)
        steps = max(shared_steps(hyps) for _, hyps, _ in more) * vocabulary
        if batch and len(more) * (frames + steps) > bins:
            yield batch
            more = [one]
        batch = more
    yield batch


def epoch(model: Any, work: list[list[Utterance]], row: str) -> float:
    """CPU seconds of one epoch."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    everyone = prefixes.prefixes_of
    if row == "encoded once":
        prefixes.prefixes_of = functools.partial(everyone, share=False)
    forward: Callable[..., Any] = model
    began = time.process_time()
    for batch in work:
        speech = pad_sequence([x for x, _, _ in batch], batch_first=True)  # (B, T, F)
        lens = torch.tensor([len(x) for x, _, _ in batch])  # (B,)
        first = [torch.tensor(hyps[0]) for _, hyps, _ in batch]
        text = pad_sequence(first, batch_first=True, padding_value=-1), torch.tensor([len(one) for one in first])
        loss, _, _ = forward(speech, lens, *text, **({} if row == "K-fold" else collated(batch)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    prefixes.prefixes_of = everyone
    return time.process_time() - began


def collated(batch: list[Utterance]) -> dict[str, torch.Tensor]:
    """Hypotheses as `kdasr train` gives them to the model."""
    flat = [torch.tensor([token for hyp in hyps for token in hyp]) for _, hyps, _ in batch]
    lens = [torch.tensor([len(hyp) for hyp in hyps]) for _, hyps, _ in batch]
    weights = [torch.tensor(one) for _, _, one in batch]
    return {
        "kd_hyps": pad_sequence(flat, batch_first=True, padding_value=-1),
        "kd_hyp_lens": pad_sequence(lens, batch_first=True, padding_value=-1),
        "kd_weights": pad_sequence(weights, batch_first=True),
    }


if __name__ == "__main__":
    main()
