"""Unknown words of a translation, replaced by the words of the source that the decoder attended to.

With a list of words, what is not in it is written <unk>. Luong et al. 2015 and Kim and Rush 2016 put the source word
with the highest attention weight in its place: names and numbers are the same in both languages.

    S  encoded frames: <sos> and the source words   E  encoder size   L  tokens of a hypothesis
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kdasr.data.tokens import UNK, Tokens
from kdasr.errors import UserError


def check(scorer: Any, source: Tokens, target: Tokens, directory: str) -> None:
    """UserError unless unknown words of a model can be replaced.

    Args:
        scorer: of its decoder (kdasr.search.scorers).
        source, target: tokens of both sides.
        directory: of the model, for the message.
    """
    if source.type != "word" or target.type != "word":
        raise UserError(
            f"--replace_unk: {directory} reads {source.type} and writes {target.type} tokens; it is for words (kdasr "
            "tokens --type word)"
        )
    if not hasattr(scorer, "centre"):
        raise UserError(f"--replace_unk: {directory} has no recurrent attention decoder, whose attention says the word")


@torch.no_grad()
def attended(scorer: Any, hs: Tensor, tokens: Sequence[int], sos: int) -> list[int]:
    """The frame that the decoder attends to most when it writes each token: L numbers from 0 to S - 1.

    Args:
        scorer: of its decoder.
        hs: (S, E) of the source.
        tokens: of the hypothesis.
        sos: what stands before them.
    """
    memory = scorer.remember(hs[None], torch.tensor([len(hs)], device=hs.device))
    state, found = scorer.start(memory, 1), []
    for token in [sos, *tokens][: len(tokens)]:
        _, state = scorer.step(torch.tensor([[token]], device=hs.device), state, memory)
        found.append(int(scorer.centre(state)))
    return found


def replaced(written: Sequence[str], frames: Sequence[int], source: Sequence[str]) -> str:
    """The text of written words, each <unk> replaced; one that attends to <sos> stays.

    Args:
        written: L words of a hypothesis.
        frames: L, of `attended`.
        source: S - 1 words, as they are written, also those that the model does not know.
    """
    words = [source[at - 1] if word == UNK and at else word for word, at in zip(written, frames, strict=True)]
    return " ".join(words)
