"""What bundle.json says of a model: its input, its frames' times, its tokens, the search's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kdasr.checkpoints import check_known
from kdasr.data.made import FILE as FEATURES
from kdasr.data.tokens import SPACE, UNK
from kdasr.errors import UserError
from kdasr.export.settings import Exporting
from kdasr.files import read_json
from kdasr.models import Source, read_config
from kdasr.search.encode import Encoder
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import is_batched
from kdasr.targets.frame_times import of_features, of_model

if TYPE_CHECKING:
    from kdasr.export.graphs import Graphs

USUAL = {
    "features": "log-mel filterbank, {bins} bins, 25 ms povey window, 10 ms shift",
    "rate": 16000,
    "normalised": "no",
}
MOST = 1 << 14  # frames or samples: every encoder gives a frame of so many


def described(given: Exporting, source: Source, model: Any, args: Any, graphs: Graphs) -> dict[str, Any]:
    """All settings of a bundle but its card, files and networks.

    Raises:
        UserError: features that one utterance alone does not give, tokens of another kind, or frames of which is not
            known when they are.
    """
    made = features_of(given.model, source)
    times = of_model(read_config(given.model), of_features(made))
    rate = source.sample_rate or int(made["rate"])
    scale = times.rate or 100  # without a rate, times count frames of 10 ms
    return {
        "sample_rate": rate,
        "input": "features" if source.bins is not None else "audio",
        "features": None if source.bins is None else kind_of(made, source.bins, given.model),
        "shortest": shortest(model, source.bins),
        "frame_seconds": times.step / scale,
        "first_frame_seconds": times.first / scale,
        "tokens": tokens_of(given.model, args, model),
        "eos_always": model.decoder is None or is_batched(model.decoder),
        "search": search_of(given, graphs.decoder is not None, graphs.has_ctc).settings(),
        "ctc": graphs.has_ctc,
        "memories": graphs.memories,
        "states": graphs.states,
    }


def features_of(directory: Path, source: Source) -> Mapping[str, Any]:
    """How the features of a model were made, as `kdasr feats` says it; by default if unknown.

    Raises:
        UserError: they were normalised by speaker.
    """
    path = directory / FEATURES
    if path.is_file():
        made = read_json(path)
    elif source.bins is not None:
        made = USUAL | {"features": USUAL["features"].format(bins=source.bins)}
        if source.bins not in (40, 80):
            print(f"{directory}: says nothing of its {source.bins} features; they are taken to be log-mel energies")
    else:
        return {}
    if made.get("normalised") not in ("no", None):
        raise UserError(
            f"{directory}: its features were normalised by {made['normalised']}, which an utterance alone cannot be; "
            "export a model of features that are not"
        )
    return made


def kind_of(made: Mapping[str, Any], bins: int, directory: Path) -> dict[str, Any]:
    """What bundle.json says of the features; UserError for some that no bundle can make."""
    told = str(made.get("features"))
    if told.startswith("log-mel filterbank"):
        return {"kind": "fbank", "bins": bins}
    if told.startswith("log power spectrogram"):
        return {"kind": "spectrogram", "bins": bins}
    raise UserError(
        f"{directory}/{FEATURES}: has features {told!r}, which no bundle can make; make them with kdasr feats"
    )


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


def tokens_of(directory: Path, args: Any, model: Any) -> dict[str, Any]:
    """How ids become text.

    Raises:
        UserError: tokens of a kind that no bundle spells, or a list that was changed.
    """
    own = directory / "tokens" / "tokens.json"
    if own.is_file():
        check_known(own)
    kind = str(read_json(own).get("type") if own.is_file() else args.token_type or "word")
    spelled = {"char": "char", "bpe": "bpe", "unigram": "bpe", "word": "word"}.get(kind)
    if spelled is None:
        raise UserError(f"{directory}: has tokens of type {kind}; a bundle spells characters, sentencepiece and words")
    # kdasr's token lists leave <sos/eos> out of texts, ESPnet's tokenizers only the blank.
    silent = [model.blank_id, model.eos] if own.is_file() else [model.blank_id]
    space = SPACE if own.is_file() else getattr(args, "space_symbol", None) or SPACE
    return {
        "kind": spelled,
        "blank": model.blank_id,
        "sos": model.sos,
        "eos": model.eos,
        "silent": silent,
        "space": space,
        "unk": UNK,
    }


def search_of(given: Exporting, has_decoder: bool, has_ctc: bool) -> SearchOptions:
    """The search that a bundle does where its user says nothing."""
    weight = given.ctc_weight
    if weight is None:
        weight = usual_weight(has_decoder, has_ctc)
    if weight > 0.0 and not has_ctc:
        raise UserError(f"--ctc_weight {weight}: {given.model} has no CTC branch; give 0, or leave it out")
    if weight < 1.0 and not has_decoder:
        raise UserError(f"--ctc_weight {weight}: {given.model} has no attention decoder; give 1, or leave it out")
    return SearchOptions(beam=given.beam, nbest=1, ctc_weight=weight).check()


def usual_weight(has_decoder: bool, has_ctc: bool) -> float:
    """The weight of CTC where none is given."""
    return 1.0 if not has_decoder else SearchOptions().ctc_weight if has_ctc else 0.0
