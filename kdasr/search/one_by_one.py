"""Any ESPnet decoder or language model as a scorer of a grid, one hypothesis at a time.

| axis | meaning |
|---|---|
| B | utterances |
| K | hypotheses an utterance |
| L | tokens of a prefix, <sos> included |
| S | encoder frames |
| V | tokens |
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor


class OneByOne:
    """Any other ESPnet decoder, through its `score`, one hypothesis at a time: slow, and exact.

    Memory is a list of (decoder, encoder output) by utterance, state a list of lists of (prefix, state).
    """

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder

    def remember(self, hs: Tensor, hlens: Tensor) -> list[tuple[Any, Tensor]]:
        """Encoder output (B, S, E) with lengths (B,) -> memory."""
        return [(self._own(), hs[b, : int(length)]) for b, length in enumerate(hlens)]

    def start(self, memory: list[tuple[Any, Tensor]], hypotheses: int) -> list[list[Any]]:
        """Empty prefixes."""
        begun = []
        for decoder, x in memory:
            empty = torch.zeros(0, dtype=torch.int64, device=x.device)  # (0,)
            begun.append([(empty, decoder.init_state(x))] * hypotheses)
        return begun

    def step(self, tokens: Tensor, state: list[Any], memory: list[tuple[Any, Tensor]]) -> tuple[Tensor, list[Any]]:
        """Log probabilities (B, K, V) after `tokens` (B, K), and the state after these."""
        logps, after = [], []
        for (decoder, x), hypotheses, row in zip(memory, state, tokens, strict=True):
            scored = []
            for (prefix, inner), token in zip(hypotheses, row, strict=True):
                prefix = torch.cat((prefix, token.view(1)))  # (L,)
                logp, inner = decoder.score(prefix, _unshared(inner), x)  # (V,)
                scored.append((logp, (prefix, inner)))
            logps.append(torch.stack([logp for logp, _ in scored]))  # (K, V)
            after.append([one for _, one in scored])
        return torch.stack(logps), after

    def reorder(self, state: list[Any], parents: Tensor) -> list[Any]:
        """The state in which hypothesis k of utterance b is a child of parents[b, k] (B, K)."""
        return [[hypotheses[k] for k in row] for hypotheses, row in zip(state, parents.tolist(), strict=True)]

    def keep(self, tree: list[Any], utterances: Tensor) -> list[Any]:
        """Memory or state of these utterances only."""
        return [tree[b] for b in utterances.tolist()]

    def put(self, old: list[Any], utterances: Tensor, new: list[Any]) -> list[Any]:
        """Memory or state in which these utterances are replaced by those of `new`."""
        replaced = dict(zip(utterances.tolist(), new, strict=True))
        return [replaced.get(b, one) for b, one in enumerate(old)]

    def _own(self) -> Any:
        """A copy of the decoder with its weights, but new attention modules, which cache one utterance's keys."""
        decoder = copy.copy(self.decoder)
        if hasattr(decoder, "att_list"):
            decoder._modules = dict(decoder._modules)
            decoder._modules["att_list"] = torch.nn.ModuleList(copy.copy(att) for att in decoder.att_list)
        return decoder


def _unshared(state: Any) -> Any:
    """A copy of the state's containers: coverage attention appends to the list that it is given.

    (In ESPnet's own search siblings share that list, so that a hypothesis sees its siblings' attention.)
    """
    if isinstance(state, dict):
        return {key: _unshared(value) for key, value in state.items()}
    if isinstance(state, list) or type(state) is tuple:
        return type(state)(_unshared(value) for value in state)
    return state
