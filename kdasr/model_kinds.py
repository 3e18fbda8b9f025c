"""Which of ESPnet's models kdasr can use, by their config.yaml; the others are refused before anything is loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.s2t import is_s2t
from kdasr.translation import FRONTENDS, is_mt

# Parts that ESPnet builds with a package of their own: the package, and what pip calls it.
S3PRL, WHISPER, FAIRSEQ = ("s3prl", "s3prl"), ("whisper", "openai-whisper"), ("fairseq", "fairseq")
TRANSFORMERS, LONGFORMER = ("transformers", "transformers"), ("longformer", "longformer")
PACKAGES = {
    "frontend": {"s3prl": S3PRL, "whisper": WHISPER, "huggingface": TRANSFORMERS},
    "encoder": {
        "whisper": WHISPER,
        "longformer": LONGFORMER,
        **dict.fromkeys(("wav2vec2", "hubert", "hubert_pretrain"), FAIRSEQ),
    },
    "postencoder": {"hugging_face_transformers": TRANSFORMERS},
    "decoder": {"whisper": WHISPER, "hugging_face_transformers": TRANSFORMERS},
}
# Models of ESPnet's ASR task that have neither hypotheses of an attention decoder nor CTC's of one speaker.
OTHERS = {
    ("decoder", "transducer"): "a transducer",
    ("decoder", "mlm"): "a mask-CTC model",
    ("decoder", "linear_decoder"): "a classifier",
    ("model", "maskctc"): "a mask-CTC model",
    ("model", "pit_espnet"): "a model of several speakers",
    ("model", "discrete_asr"): "a recogniser of discrete units",
}


def refuse_others(config: Mapping[str, Any], path: str | Path) -> None:
    """UserError if a config is of a model that kdasr cannot use, or that needs a package that is not installed.

    Args:
        config: the config.yaml of an ASR model, or what may be one.
        path: where it is, for the message.
    """
    found = next((what for (key, value), what in OTHERS.items() if config.get(key) == value), None)
    if "joint_network_conf" in config:  # espnet2.tasks.asr_transducer
        found = "a transducer"
    if is_mt(config) and config.get("frontend") not in (None, *FRONTENDS):  # espnet2.tasks.st reads audio
        found = "a model that translates speech, or patches of text"
    if config.get("preprocessor") == "s2t_ctc" or config.get("model") == "espnet_ctc":
        found = "an OWSM-CTC model"
    if is_s2t(config) and not found:
        if config.get("input_size") is not None:
            found = "an S2T model of features (they have no fixed length)"
        elif config.get("decoder") not in (None, "transformer"):
            found = f"an S2T model with decoder {config['decoder']}"
    if found:
        raise UserError(f"{path}: is {found}, which kdasr cannot use; name an attention or CTC model")
    for part, value in _parts(config):
        package, install = PACKAGES[part].get(value, ("", ""))
        if package and importlib.util.find_spec(package) is None:
            raise UserError(
                f"{path}: its {part} {value} needs {package}, which is not installed; pip install {install}, or name "
                "another model"
            )


def _parts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The parts of a model that may need a package: (frontend, s3prl), ...; each front end of several."""
    for part in PACKAGES:
        if part != "frontend" or config.get("input_size") is None:  # else it takes features, and has no front end
            yield part, str(config.get(part))
    if config.get("frontend") == "fused" and isinstance(fused := _conf(config, "frontend").get("frontends"), list):
        for one in fused:
            yield "frontend", str(one.get("frontend_type") if isinstance(one, Mapping) else one)


def _conf(config: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    """The settings of a part; none if they are no settings."""
    settings = config.get(f"{part}_conf")
    return settings if isinstance(settings, Mapping) else {}
