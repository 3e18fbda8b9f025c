#!/usr/bin/env python3
r"""What scoring N-best lists with a language model costs: hypotheses in padded batches, against one tree of prefixes.

| row | what it does |
|---|---|
| padded batches | each hypothesis by itself, in batches ordered by length, softmaxes in slices |
| tree | kdasr.lm.trie: each distinct prefix once; what `kdasr rescore` does |
| history L | prefixes that end in the same L words once: `kdasr rescore --history L`, not exact |

    tools/bench_rescore.py                                                       # generated lists, two minutes
    tools/bench_rescore.py --nbest exp/teacher/nbest_dev --words dump/lm/words   # the texts of an archive
    tools/bench_rescore.py --vocab 40000 --embed 250 --hidden 250 --last 250 --experts 7 --utterances 2

The lists that are generated are those of a search, which keeps the best of what it was unsure of: a sentence of the
synthetic demo corpus's grammar, of as many words as WSJ's have (18 on the average; two or three of the grammar's), is
unsure at `--points` of its words, drawn at random. There it has `--choices` alternatives, another word, two words or
none, each worse than the word by a cost drawn from an exponential distribution; the list holds the `--size` texts of
least total cost. So most hypotheses differ from the best in a few words, anywhere in the sentence, as those of a
lattice do, and a tree can share what stands before the last of these words. Steps are counted for several numbers of
points; times are measured for `--points`.

Weights are random: time does not depend on them. CPU seconds, one thread; the rows take turns.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from kdasr.data import grammar
from kdasr.data.tokens import BLANK, SOS_EOS, UNK
from kdasr.lm.piece import slices
from kdasr.lm.text import Words, load_vocabulary
from kdasr.lm.trie import AwdNetwork, Work, score_lists
from kdasr.networks.awd import AwdLstm

POINTS = (4, 6, 8, 12, 18)
Texts = list[tuple[str, ...]]


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--nbest", metavar="DIR", help="take the texts of this archive (default: generated ones)")
    add("--words", metavar="DIR", help="vocabulary (kdasr lm words); other words are all <unk> (default: every word)")
    add("--utterances", type=int, default=4, help="at most (default 4)")
    add("--size", type=int, default=1000, help="hypotheses of each (default 1000)")
    add("--points", type=int, default=6, help="words of a generated sentence that are unsure (default 6)")
    add("--choices", type=int, default=4, help="alternatives to such a word (default 4)")
    add("--history", type=int, nargs="*", default=[5, 3], help="joined histories to measure (default 5 3)")
    add("--vocab", type=int, default=2000, help="words of the model (default 2000)")
    add("--embed", type=int, default=100)
    add("--hidden", type=int, default=150)
    add("--last", type=int, default=100)
    add("--layers", type=int, default=3)
    add("--experts", type=int, default=5)
    add("--batch", type=int, default=256, help="hypotheses of a padded batch (default 256)")
    add("--rounds", type=int, default=2, help="the cheapest counts (default 2)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if args.nbest is None:
        print("steps one by one / distinct prefixes, or windows of L words, of ten lists:")
        print(f"{'words':>6} {'points':>6} {'list':>6} {'tree':>6}" + "".join(f"  hist. {n}" for n in args.history))
        for points in sorted({*POINTS, args.points}):
            print_steps(generated(10, args.size, points, args.choices), points, args.history)
    lists = read(args) if args.nbest else generated(args.utterances, args.size, args.points, args.choices)
    said = sorted({word for hyps in lists for hyp in hyps for word in hyp})
    vocabulary = load_vocabulary(args.words) if args.words else Words([BLANK, UNK, *said, SOS_EOS])
    ids = [[vocabulary.encode(" ".join(hyp)) for hyp in hyps] for hyps in lists]
    torch.manual_seed(1)
    sizes = {name: getattr(args, name) for name in ("embed", "hidden", "last", "layers", "experts")}
    lm = AwdLstm(max(args.vocab, len(vocabulary)), **sizes).eval()
    millions = sum(p.numel() for p in lm.parameters()) / 1e6
    print(
        f"\n{len(ids)} utterances, {sum(map(len, ids))} hypotheses of {np.mean([len(h) for x in ids for h in x]):.1f} "
        f"words; {millions:.1f} M parameters, {lm.embed.num_embeddings} words"
    )
    compare(lm, ids, args)


def compare(lm: AwdLstm, ids: list[list[list[int]]], args: argparse.Namespace) -> None:
    """Time the rows, check that those which are exact agree, and print a table."""
    rows: dict[str, Callable[[], tuple[list[np.ndarray], Work]]] = {
        "padded batches": lambda: padded(lm, ids, args.batch),
        "tree": lambda: score_lists([AwdNetwork(lm)], ids),
    }
    for history in args.history:
        rows[f"history {history}"] = lambda history=history: score_lists([AwdNetwork(lm)], ids, history)
    spent: dict[str, list[tuple[float, float]]] = {row: [] for row in rows}
    found = {}
    for _ in range(args.rounds):
        for row, measured in rows.items():
            cpu, wall = time.process_time(), time.perf_counter()
            found[row] = measured()
            spent[row].append((time.process_time() - cpu, time.perf_counter() - wall))
    print(
        f"{'':16} {'steps':>8} {'one by one / row':>17} {'CPU s':>8} {'wall s':>8} {'padded / row':>13} {'|log P|':>9}"
    )
    exact, steps = np.concatenate(found["padded batches"][0]), found["padded batches"][1].steps
    first = min(cpu for cpu, _ in spent["padded batches"])
    for row, (scores, work) in found.items():
        cpu, wall = min(spent[row])
        off = np.abs(np.concatenate(scores) - exact).max()
        assert off < 1e-2 or row.startswith("history")
        ratio = f"{steps / work.tree:.2f}"
        print(f"{row:16} {work.tree:8} {ratio:>17} {cpu:8.2f} {wall:8.2f} {first / cpu:13.2f} {off:9.1e}")
    print("|log P|: largest difference from padded batches, nats a hypothesis")


def print_steps(lists: Sequence[Texts], points: int, histories: Sequence[int]) -> None:
    """How many prefixes lists have, and how many when histories are joined."""
    steps = sum(len(hyp) + 1 for hyps in lists for hyp in hyps)
    tree = sum(len({hyp[:k] for hyp in hyps for k in range(len(hyp) + 1)}) for hyps in lists)
    ratios = [steps / tree]
    for n in histories:
        ends = [{(k, hyp[max(0, k - n) : k]) for hyp in hyps for k in range(len(hyp) + 1)} for hyps in lists]
        ratios.append(steps / sum(map(len, ends)))
    mean = np.mean([len(hyp) for hyps in lists for hyp in hyps])
    print(
        f"{mean:6.1f} {points:6} {np.mean(list(map(len, lists))):6.0f} " + " ".join(f"{ratio:6.2f}" for ratio in ratios)
    )


def generated(count: int, size: int, points: int, choices: int, seed: int = 1) -> list[Texts]:
    """Lists as a search makes them; see above."""
    rng = random.Random(seed)
    vocabulary = sorted(grammar.vocabulary())
    lists = []
    for _ in range(count):
        words: list[str] = []
        while len(words) < 12 + 12 * rng.random():
            words += grammar.draw(rng)
        unsure = sorted(rng.sample(range(len(words)), min(points, len(words))))
        ways: list[list[tuple[float, tuple[str, ...]]]] = []
        for word in (words[place] for place in unsure):
            other = [(), *((rng.choice(vocabulary),) for _ in range(choices - 2)), (word, rng.choice(vocabulary))]
            ways.append(sorted([(0.0, (word,)), *((rng.expovariate(0.5), way) for way in other)]))
        hyps: dict[tuple[str, ...], None] = {}
        for chosen in cheapest([[cost for cost, _ in way] for way in ways]):
            said = {place: way[k][1] for place, way, k in zip(unsure, ways, chosen, strict=True)}
            hyps[tuple(part for place, word in enumerate(words) for part in said.get(place, (word,)))] = None
            if len(hyps) == size:
                break
        lists.append(list(hyps))
    return lists


def cheapest(costs: Sequence[Sequence[float]]) -> Iterator[tuple[int, ...]]:
    """Choices, one of each row (ascending), in the order of their sums."""
    first = (0,) * len(costs)
    heap, seen = [(0.0, first)], {first}
    while heap:
        total, chosen = heapq.heappop(heap)
        yield chosen
        for place, row in enumerate(costs):
            k = chosen[place]
            more = (*chosen[:place], k + 1, *chosen[place + 1 :])
            if k + 1 < len(row) and more not in seen:
                seen.add(more)
                heapq.heappush(heap, (total - row[k] + row[k + 1], more))


def read(args: argparse.Namespace) -> list[Texts]:
    """The texts of an archive, those of most hypotheses first."""
    from kdasr.nbest.archive import read_nbest

    lists = [[tuple(hyp["text"].split()) for hyp in record["hyps"][: args.size]] for record in read_nbest(args.nbest)]
    return sorted(lists, key=len, reverse=True)[: args.utterances]


@torch.inference_mode()
def padded(lm: AwdLstm, lists: list[list[list[int]]], size: int) -> tuple[list[np.ndarray], Work]:
    """Log P of each hypothesis, scored by itself."""
    end = lm.embed.num_embeddings - 1
    found, steps = [], 0
    for hyps in lists:
        scores = np.zeros(len(hyps))
        order = np.argsort([len(hyp) for hyp in hyps], kind="stable")
        for start in range(0, len(order), size):
            some = order[start : start + size]
            words = pad_sequence([torch.tensor([end, *hyps[k]]) for k in some], batch_first=True)  # (B, T)
            target = pad_sequence([torch.tensor([*hyps[k], end]) for k in some], batch_first=True, padding_value=-1)
            x, gold = (
                lm.hidden(words, lm.zero(len(some)))[0].flatten(0, 1),
                target.clamp(min=0).view(-1, 1),
            )  # (B T, ...)
            parts = [lm.log_probs(x[i:j]).gather(1, gold[i:j]) for i, j in slices(lm, len(gold))]
            scores[some] = (torch.cat(parts).view_as(target) * (target >= 0)).double().sum(1).numpy()
        found.append(scores)
        steps += sum(len(hyp) + 1 for hyp in hyps)
    return found, Work(steps, steps)


if __name__ == "__main__":
    main()
