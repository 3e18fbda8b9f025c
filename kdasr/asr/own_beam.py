"""A student's own hypotheses of a batch, found by its beam search as it is now, and what is wrong with each.

B  utterances   K  hypotheses of each, at most as many as the beam   L  tokens of the longest
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kdasr.asr.settings import Distillation
from kdasr.losses.sequence import PADDING
from kdasr.score.count import count_errors
from kdasr.search.in_memory import InMemory
from kdasr.search.options import SearchOptions
from kdasr.targets.select import sentence_bleu


class Judged(NamedTuple):
    """Hypotheses and their costs."""

    targets: Tensor  # (B, K, L) token ids without <eos>, PADDING behind
    used: Tensor  # (B, K) false where there is no hypothesis; the first is always one
    costs: Tensor  # (B, K) 0 where there is none


class OwnBeam:
    """The search and the judgement of a student.

    Args:
        model: the student.
        kd: its settings.
        spell: its token ids -> text.
    """

    def __init__(self, model: Any, kd: Distillation, spell: Callable[[Sequence[int]], str]) -> None:
        beam, cost = kd.risk_beam, kd.risk_cost
        options = SearchOptions(beam=beam, nbest=beam, ctc_weight=0.0, maxlenratio=kd.risk_maxlenratio)
        self.search, self.spell, self.cost = InMemory(model, options, spell), spell, cost

    def judged(self, inputs: Tensor, lengths: Tensor, targets: Tensor, weights: Tensor) -> Judged:
        """What the student says of a batch, and how wrong it is.

        Args:
            inputs, lengths: what is encoded: (B, T, F), or (B, T) samples or source tokens; and (B,).
            targets, weights: (B, K', L') and (B, K') what the batch learns from; it is judged by what weighs most, the
                first of several.
        """
        best = targets[torch.arange(len(targets), device=targets.device), weights.argmax(1)]  # (B, L')
        wanted = [self.spell([token for token in row if token != PADDING]) for row in best.tolist()]
        alone = [x[:length] for x, length in zip(inputs, lengths.tolist(), strict=True)]
        lists = [record["hyps"] for record in self.search.nbest(alone)]
        costs = costs_of(self.cost, wanted, [[hyp["text"] for hyp in hyps] for hyps in lists])
        tokens = [torch.tensor(hyp["tokens"], dtype=torch.long) for hyps in lists for hyp in hyps]
        used = pad_sequence([torch.ones(len(hyps), dtype=torch.bool) for hyps in lists], batch_first=True)  # (B, K)
        padded = pad_sequence(tokens, batch_first=True, padding_value=PADDING)  # (hypotheses, L)
        found = padded.new_full((*used.shape, padded.size(1)), PADDING)  # (B, K, L)
        found[used] = padded
        judged = torch.zeros(used.shape)
        judged[used] = torch.tensor([cost for row in costs for cost in row], dtype=judged.dtype)
        return Judged(*(one.to(inputs.device) for one in (found, used, judged)))


def costs_of(cost: str, wanted: Sequence[str], said: Sequence[Sequence[str]]) -> list[list[float]]:
    """What is wrong with each text, by the one that is wanted.

    Args:
        cost: one of kdasr.losses.COSTS: words, their errors as sclite counts them; bleu, 1 - smoothed sentence BLEU
            (kdasr.targets.select.sentence_bleu), from 0 to 1.
        wanted: B texts.
        said: B lists of texts.
    """
    if cost == "bleu":
        return [
            [1 - sentence_bleu(text, right) / 100 for text in texts] for right, texts in zip(wanted, said, strict=True)
        ]
    return [[float(one) for one in row] for row in count_errors(list(zip(wanted, said, strict=True)))]
