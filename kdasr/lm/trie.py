"""Log probabilities of N-best lists by a language model, with all that hypotheses share computed once.

    N  nodes of a level: the distinct prefixes of one length   G  edges: a node and a word after it   M  networks
    R  hypotheses   T  their tokens   V  words   K  experts   n  rows of a slice

The hypotheses of many utterances are one tree of prefixes: its root is <sos/eos> from the zero state, a node
is a prefix, and each of its edges a word with which some hypothesis continues, or <sos/eos> where one
ends. The tree is walked by levels, all nodes of a level as one batch; a node takes its state from its parent's, so
that the states of two levels are all that is kept. Of a node's distribution only its edges' entries are kept, and no
more rows of it are in memory at once than `kdasr.lm.piece.slices` allows.

That is exact, and a list of a thousand costs a fourth of its tokens or less: only the end of a hypothesis is computed
for it alone, from the last word on in which it differs from the others. With `history` L, prefixes of one length and
one utterance that end in the same L words are one node, too, which takes the state of the first hypothesis (the history
clustering of Liu et al. 2014, "Efficient lattice rescoring using recurrent neural network language models"): a word
that differs is forgotten L words later, and scores are no longer exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from kdasr.errors import UserError
from kdasr.lm.piece import SLICE, slices
from kdasr.losses.ensemble import combined
from kdasr.networks.awd import AwdLstm
from kdasr.search.lms import RnnLmScorer

Rows = list[Tensor]  # a network's states, the first axis of each tensor being the nodes
STATES = 1 << 30  # bytes of the states that a batch of hypotheses may need: a gigabyte
MOST = 1 << 16  # hypotheses of a batch


class Work(NamedTuple):
    """Steps of the language model: words and ends predicted."""

    steps: int  # each hypothesis by itself
    tree: int  # done


class Network(Protocol):
    """A language model, one step for some nodes."""

    vocabulary: int  # V; the last id is <sos/eos>
    rows: int  # nodes to step at once

    def start(self) -> Rows:
        """The state before any word, of one node."""

    def step(self, tokens: Tensor, state: Rows, owner: np.ndarray, words: Tensor) -> tuple[Tensor, Rows]:
        """Log P (G,) of `words` (G,) after nodes `owner` (G,), ascending; states (n, ...) after `tokens` (n,)."""


def network_of(lm: Any, where: object, kind: str = "") -> Network:
    """A loaded language model in the form that the tree needs.

    Raises:
        UserError: it keeps no state of fixed size (a transformer does not).
    """
    if isinstance(lm, AwdLstm):
        return AwdNetwork(lm)
    if RnnLmScorer.fits(lm):
        return GridNetwork(RnnLmScorer(lm))
    raise UserError(f"{where}: a language model of type {kind}; name one of type awd_lstm (kdasr lm train) or seq_rnn")


class AwdNetwork:
    """kdasr.networks.awd."""

    def __init__(self, lm: AwdLstm) -> None:
        self.lm = lm
        self.vocabulary = lm.embed.num_embeddings
        self.rows = 2048  # the layers' gates are the largest thing then; the softmax is sliced below

    def start(self) -> Rows:
        """(1, H) of each layer, hidden and cell."""
        return [part for layer in self.lm.zero(1) for part in layer]

    def step(self, tokens: Tensor, state: Rows, owner: np.ndarray, words: Tensor) -> tuple[Tensor, Rows]:
        """As `Network.step`."""
        x, after, _ = self.lm.hidden(tokens[:, None], list(zip(state[::2], state[1::2], strict=True)))
        parts = []
        for start, stop in slices(self.lm, len(tokens)):
            first, last = np.searchsorted(owner, [start, stop])
            rows = torch.from_numpy(owner[first:last] - start).to(tokens.device)
            parts.append(self.lm.log_probs_of(x[start:stop, 0], rows, words[first:last]))
        return torch.cat(parts), [part for layer in after for part in layer]


class GridNetwork:
    """A recurrent language model of ESPnet's (kdasr.search.lms), its nodes as a grid (n, 1)."""

    def __init__(self, scorer: Any) -> None:
        self.scorer = scorer
        self.vocabulary = scorer.lm.decoder.out_features
        self.rows = max(1, SLICE // self.vocabulary)
        self.memory = scorer.lm.decoder.weight.new_zeros(1, 0)

    def start(self) -> Rows:
        """(1, 1, J, H) hidden and cell."""
        return list(self.scorer.start(self.memory, 1))

    def step(self, tokens: Tensor, state: Rows, owner: np.ndarray, words: Tensor) -> tuple[Tensor, Rows]:
        """As `Network.step`."""
        logp, after = self.scorer.step(tokens[:, None], type(self.scorer.start(self.memory, 1))(*state), self.memory)
        return logp[torch.from_numpy(owner).to(tokens.device), 0, words], list(after)


def score_lists(
    networks: Sequence[Network],
    lists: Sequence[Sequence[Sequence[int]]],
    history: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[list[np.ndarray], Work]:
    """Log P of every hypothesis, <sos/eos> at its end included.

    Args:
        networks: of one vocabulary, in evaluation mode; the mean of their probabilities is taken at each word.
        lists: token ids of the hypotheses of each utterance.
        history: words after which histories are one; 0: all.
        progress: called with the steps done, of `Work.steps`.

    Returns:
        Natural logarithms, (R,) of each utterance in the order given, and the steps that were needed.
    """
    found: list[np.ndarray] = []
    steps = tree = 0
    for start, stop in batches([len(hyps) for hyps in lists], most_hypotheses(networks)):
        part = lists[start:stop]
        hyps = [np.asarray(hyp, dtype=np.int64) for one in part for hyp in one]
        sizes = [len(one) for one in part]
        scores, nodes = score_batch(networks, hyps, np.repeat(np.arange(len(part)), sizes), history, progress)
        found += np.split(scores, np.cumsum(sizes)[:-1])
        steps, tree = steps + sum(map(len, hyps)) + len(hyps), tree + nodes
    return found, Work(steps, tree)


def most_hypotheses(networks: Sequence[Network]) -> int:
    """Hypotheses whose states, were each of them a node of two levels, fit into `STATES`."""
    node = sum(part.numel() * part.element_size() for network in networks for part in network.start())
    return min(MOST, max(1, STATES // (2 * node)))


def batches(sizes: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Beginnings and ends of runs of utterances with `limit` hypotheses at most, or one utterance with more."""
    start = held = 0
    for place, size in enumerate(sizes):
        if place > start and held + size > limit:
            yield start, place
            start, held = place, 0
        held += size
    if sizes:
        yield start, len(sizes)


@torch.inference_mode()
def score_batch(
    networks: Sequence[Network],
    hyps: Sequence[np.ndarray],
    utterance: np.ndarray,
    history: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[np.ndarray, int]:
    """As `score_lists`, one tree.

    Args:
        networks: as there.
        hyps: ids (T,) int64 of each hypothesis.
        utterance: (R,) the utterance of each, from 0, ascending; of use with `history` only.
        history: as there.
        progress: as there.

    Returns:
        (R,) float64, and the number of nodes.
    """
    size, end = networks[0].vocabulary, networks[0].vocabulary - 1
    lengths = np.array([len(hyp) for hyp in hyps], dtype=np.int64)  # (R,)
    flat = np.concatenate([*hyps, np.empty(0, np.int64)])
    begins = np.cumsum(lengths) - lengths
    scores = np.zeros(len(hyps))
    alive = np.arange(len(hyps))  # hypotheses of `depth` tokens or more
    # histories are joined within an utterance only, so that each utterance has its own root then
    place = utterance[alive] if history else np.zeros_like(alive)  # node of each that is alive
    tokens = np.full(1 + place.max(initial=0), end)  # (N,)
    parent = np.zeros_like(tokens)  # (N,) in the level above
    recent = np.full((len(tokens), 1 + history), -1)  # (N, 1 + L): the utterance, the last words
    recent[:, 0] = np.arange(len(tokens))
    states = [network.start() for network in networks]
    nodes = depth = 0
    while len(alive):
        goes_on = lengths[alive] > depth
        words = np.full(len(alive), end)
        words[goes_on] = flat[begins[alive[goes_on]] + depth]
        edges, edge = np.unique(place * size + words, return_inverse=True)  # (G,), and which is each hypothesis's
        owner, word = np.divmod(edges, size)
        logp, states = _level(networks, tokens, parent, states, owner, word)
        scores[alive] += logp[edge]
        nodes += len(tokens)
        progress(len(alive))
        alive, edge, depth = alive[goes_on], edge[goes_on], depth + 1
        followed, first, place = np.unique(edge, return_index=True, return_inverse=True)
        parent, tokens = owner[followed], word[followed]
        if history:
            # of the nodes with the same recent words, the one of the first hypothesis
            recent = np.column_stack([recent[parent, :1], recent[parent, 2:], tokens])
            by_rank = np.argsort(first)
            _, chosen, group = np.unique(recent[by_rank], axis=0, return_index=True, return_inverse=True)
            joined = np.empty_like(by_rank)
            joined[by_rank] = group.reshape(-1)
            kept, place = by_rank[chosen], joined[place]
            parent, tokens, recent = parent[kept], tokens[kept], recent[kept]
    return scores, nodes


def _level(
    networks: Sequence[Network],
    tokens: np.ndarray,
    parent: np.ndarray,
    states: list[Rows],
    owner: np.ndarray,
    word: np.ndarray,
) -> tuple[np.ndarray, list[Rows]]:
    """Log P (G,) of a level's edges, and its states.

    Args:
        networks: M of them.
        tokens: (N,) the last token of each node.
        parent: (N,) its place among the level above.
        states: of that level, of each network.
        owner: (G,) the node that an edge leaves, ascending.
        word: (G,) and its word.
    """
    each, after = [], []
    for network, state in zip(networks, states, strict=True):
        device = state[0].device
        index, said, asked = (torch.from_numpy(one).to(device) for one in (parent, tokens, word))
        parts: list[Tensor] = []
        levels: list[Rows] = []
        for start in range(0, len(tokens), network.rows):
            stop = min(start + network.rows, len(tokens))
            first, last = np.searchsorted(owner, [start, stop])
            rows = [part[index[start:stop]] for part in state]
            logp, reached = network.step(said[start:stop], rows, owner[first:last] - start, asked[first:last])
            parts.append(logp)
            levels.append(reached)
        each.append(torch.cat(parts).cpu())
        after.append([torch.cat(part) for part in zip(*levels, strict=True)])
    if len(each) == 1:
        return each[0].double().numpy(), after
    logp = combined(torch.stack(each)[..., None], [1 / len(each)] * len(each))[:, 0]  # (M, G, 1) -> (G,)
    return logp.double().numpy(), after
