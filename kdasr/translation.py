"""What the config.yaml of a translation model says. No torch, so that wrong files are named quickly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SRC_TOKENS = "src_tokens"  # directory of a model that kdasr trained, beside `tokens`
FRONTENDS = ("embed", "lookup")  # of text: ESPnet's, with positions, and kdasr.networks.text's
# ESPnet's names of the source's settings -> those that a model of one token list has.
OF_SOURCE = {"src_token_list": "token_list", "src_token_type": "token_type", "src_bpemodel": "bpemodel"}


def is_mt(config: Mapping[str, Any]) -> bool:
    """Whether a config.yaml is of ESPnet's MT task."""
    return config.get("src_token_list") is not None


def of_source(config: Mapping[str, Any]) -> dict[str, Any]:
    """A translation model's config.yaml with the source's tokens where the target's are."""
    return {**config, **{plain: config.get(name) for name, plain in OF_SOURCE.items()}}
