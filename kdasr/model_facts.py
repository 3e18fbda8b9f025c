"""What the directory of a trained model says of itself to those who recognise with it: features, tokens, search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdasr.checkpoints import check_known
from kdasr.data.made import FILE as FEATURES
from kdasr.data.tokens import SPACE, UNK
from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.models import Source
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import blank_of

USUAL = {
    "features": "log-mel filterbank, {bins} bins, 25 ms povey window, 10 ms shift",
    "rate": 16000,
    "normalised": "no",
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
    blank = blank_of(model)
    silent = [blank, model.eos] if own.is_file() else [blank]
    space = SPACE if own.is_file() else getattr(args, "space_symbol", None) or SPACE
    return {
        "kind": spelled,
        "blank": blank,
        "sos": model.sos,
        "eos": model.eos,
        "silent": silent,
        "space": space,
        "unk": UNK,
    }


def usual_weight(has_decoder: bool, has_ctc: bool) -> float:
    """The weight of CTC where none is given."""
    return 1.0 if not has_decoder else SearchOptions().ctc_weight if has_ctc else 0.0
