"""The N-best lists of a model that is in memory, as one is that is being trained: those of `kdasr nbest`.

| axis | meaning |
|---|---|
| T | input frames (F bins each), samples of a model with a waveform front end, or source tokens |
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from kdasr.errors import UserError
from kdasr.search.encode import Encoder, finite
from kdasr.search.engine import record, text_tokens
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import scorers_of
from kdasr.search.stream import Utterance, stream


class InMemory:
    """The search of one model with its weights as they are at each call.

    Args:
        model: an ESPnet model with an attention decoder.
        options: of the search.
        spell: token ids -> text (kdasr.search.engine.speller).
    """

    def __init__(self, model: Any, options: SearchOptions, spell: Callable[[Sequence[int]], str]) -> None:
        self.model, self.options, self.spell = model, options.check(), spell
        self.device = str(next(model.parameters()).device)
        self.encoder = Encoder(model, self.device)
        self.text = text_tokens(model)

    def nbest(self, inputs: Sequence[Tensor]) -> list[dict[str, Any]]:
        """A record (kdasr.nbest.archive) of each input (T, F) or (T,), in order, all in one grid.

        Found in float32 and in evaluation mode, which is left again; no random number is drawn, and no gradient flows.

        Raises:
            UserError: the encoder gives values that are not numbers.
        """
        with torch.no_grad(), evaluating(self.model), full_precision(self.device):
            scorers = scorers_of(self.model, self.options)  # each time: some compute tables from the weights
            encoded = self.encoder.encode(inputs)  # each (S, E), or None where it is too short
            there = [(number, hs) for number, hs in enumerate(encoded) if hs is not None and len(hs)]
            if not all(finite([hs for _, hs in there])):
                raise UserError("the student's encoder gives values that are not numbers; lower the learning rate")
            longest_first = [Utterance(n, (hs,)) for n, hs in sorted(there, key=lambda one: -len(one[1]))]
            found = dict(stream(longest_first, scorers, self.options, slots=max(1, len(there))))
        return [record("", len(x), found.get(n), self.spell, self.text) for n, x in enumerate(inputs)]


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """While it is entered the model is in evaluation mode; afterwards each part of it is in its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def full_precision(device: str) -> Iterator[None]:
    """While it is entered no autocast of a training around it makes bfloat16 or float16 of what is computed."""
    with torch.autocast("cpu", enabled=False), torch.autocast(device.split(":")[0], enabled=False):
        yield
