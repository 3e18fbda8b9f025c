"""What bundle.json says of a model: its input (and its frames' times), its tokens, the search's defaults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kdasr.data.source_text import source_tokens
from kdasr.errors import UserError
from kdasr.export.settings import Exporting
from kdasr.model_facts import features_of, kind_of, tokens_of, usual_weight
from kdasr.models import Source, read_config
from kdasr.search.encode import Encoder
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import is_batched
from kdasr.targets.frame_times import of_features, of_model

if TYPE_CHECKING:
    from kdasr.export.graphs import Graphs

MOST = 1 << 14  # frames or samples: every encoder gives a frame of so many


def described(given: Exporting, source: Source, model: Any, args: Any, graphs: Graphs) -> dict[str, Any]:
    """All settings of a bundle but its card, files and networks.

    Raises:
        UserError: features that one utterance alone does not give, tokens of another kind, or frames of which is not
            known when they are.
    """
    return {
        **(of_text(given.model, model) if source.reads else of_audio(given.model, source, model)),
        "tokens": tokens_of(given.model, args, model),
        "eos_always": model.decoder is None or is_batched(model.decoder),
        "search": search_of(given, graphs.decoder is not None, graphs.has_ctc).settings(),
        "ctc": graphs.has_ctc,
        "memories": graphs.memories,
        "states": graphs.states,
    }


def of_audio(directory: Path, source: Source, model: Any) -> dict[str, Any]:
    """What a recogniser takes, and when its frames are; errors as `described`."""
    made = features_of(directory, source)
    times = of_model(read_config(directory), of_features(made))
    scale = times.rate or 100  # without a rate, times count frames of 10 ms
    return {
        "sample_rate": source.sample_rate or int(made["rate"]),
        "input": "features" if source.bins is not None else "audio",
        "features": None if source.bins is None else kind_of(made, source.bins, directory),
        "shortest": shortest(model, source.bins),
        "frame_seconds": times.step / scale,
        "first_frame_seconds": times.first / scale,
    }


def of_text(directory: Path, model: Any) -> dict[str, Any]:
    """How the text that a translator takes becomes ids."""
    tokens = source_tokens(directory)
    kind = "bpe" if tokens.in_pieces else tokens.type
    return {"input": "text", "source": {"kind": kind, "symbols": tokens.nlsyms, "sos": model.src_sos}}


def shortest(model: Any, bins: int | None) -> int:
    """The least input frames (or samples) of which the encoder gives a frame."""
    encoder = Encoder(model, "cpu")
    low, high = 0, MOST  # too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        x = (
            torch.randn(middle, generator=torch.Generator().manual_seed(0))
            if bins is None
            else torch.randn(middle, bins)
        )
        hs = encoder.encode([x])[0]
        low, high = (middle, high) if hs is None or not len(hs) else (low, middle)
    return high


def search_of(given: Exporting, has_decoder: bool, has_ctc: bool) -> SearchOptions:
    """The search that a bundle does where its user says nothing."""
    weight = given.ctc_weight
    if weight is None:
        weight = usual_weight(has_decoder, has_ctc)
    if weight > 0.0 and not has_ctc:
        raise UserError(f"--ctc_weight {weight}: {given.model} has no CTC branch; give 0, or leave it out")
    if weight < 1.0 and not has_decoder:
        raise UserError(f"--ctc_weight {weight}: {given.model} has no attention decoder; give 1, or leave it out")
    return SearchOptions(
        beam=given.beam,
        nbest=1,
        ctc_weight=weight,
        penalty=given.penalty,
        maxlenratio=given.maxlenratio,
        minlenratio=given.minlenratio,
        normalize_length=given.normalize_length,
    ).check()
