"""A recogniser of common parts, built as ESPnet's ASR task builds it, without that task.

The task imports every front end, encoder and decoder that ESPnet has, a third of the start of a short decoding.
What is not listed here, or is prepared otherwise, is built by the task.
"""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, Any

from kdasr.espnet import prepare

if TYPE_CHECKING:
    from espnet2.asr.espnet_model import ESPnetASRModel

ESPNET = "espnet2.asr"
# kind of part: its name in config.yaml: module and class
PARTS = {
    "encoder": {
        "conv_rnn": "kdasr.networks.encoder:ConvRNNEncoder",
        "munim_rnn": "kdasr.networks.munim2018:MunimEncoder",
        "rnn": f"{ESPNET}.encoder.rnn_encoder:RNNEncoder",
        "vgg_rnn": f"{ESPNET}.encoder.vgg_rnn_encoder:VGGRNNEncoder",
        "transformer": f"{ESPNET}.encoder.transformer_encoder:TransformerEncoder",
        "conformer": f"{ESPNET}.encoder.conformer_encoder:ConformerEncoder",
        "e_branchformer": f"{ESPNET}.encoder.e_branchformer_encoder:EBranchformerEncoder",
    },
    "decoder": {
        "attention_gru": "kdasr.networks.decoder:AttentionDecoder",
        "munim_gru": "kdasr.networks.munim2018:MunimDecoder",
        "rnn": f"{ESPNET}.decoder.rnn_decoder:RNNDecoder",
        "transformer": f"{ESPNET}.decoder.transformer_decoder:TransformerDecoder",
    },
    "specaug": {"specaug": f"{ESPNET}.specaug.specaug:SpecAug"},
    "normalize": {
        "global_mvn": "espnet2.layers.global_mvn:GlobalMVN",
        "utterance_mvn": "espnet2.layers.utterance_mvn:UtteranceMVN",
    },
}


def known(args: argparse.Namespace) -> bool:
    """Whether a model of features has common parts alone, and starts from weights that are read anyway."""
    given = vars(args)
    conf = given.get("model_conf")
    return (
        isinstance(given.get("input_size"), int)
        and given.get("model", "espnet") == "espnet"
        and isinstance(given.get("token_list"), list)
        and isinstance(conf, dict)
        and not conf.get("transducer_multi_blank_durations")
        and not any(given.get(name) for name in ("preencoder", "postencoder", "init"))
        and all(given.get(kind) in PARTS[kind] for kind in ("encoder", "decoder"))
        and all(given.get(kind) is None or given[kind] in PARTS[kind] for kind in ("specaug", "normalize"))
        and all(isinstance(given.get(f"{kind}_conf"), dict) for kind in ("ctc", *filter(given.get, PARTS)))
    )


class Alone:
    """Stands for ESPnet's ASRTask where a model is built."""

    @staticmethod
    def build_model(args: argparse.Namespace) -> ESPnetASRModel:
        """The network of options that are `known`; its parts are made in the task's order."""
        made: dict[str, Any] = {}
        for kind in ("specaug", "normalize"):
            name = getattr(args, kind, None)
            made[kind] = part(kind, name)(**getattr(args, f"{kind}_conf")) if name else None
        size = len(args.token_list)
        encoder = part("encoder", args.encoder)(input_size=args.input_size, **args.encoder_conf)
        width = encoder.output_size()
        decoder = part("decoder", args.decoder)(vocab_size=size, encoder_output_size=width, **args.decoder_conf)
        prepare()
        ctc = importlib.import_module(f"{ESPNET}.ctc").CTC(odim=size, encoder_output_size=width, **args.ctc_conf)
        return importlib.import_module(f"{ESPNET}.espnet_model").ESPnetASRModel(
            vocab_size=size,
            frontend=None,
            preencoder=None,
            encoder=encoder,
            postencoder=None,
            decoder=decoder,
            ctc=ctc,
            joint_network=None,
            token_list=list(args.token_list),
            **made,
            **args.model_conf,
        )


def part(kind: str, name: str) -> Any:
    """The class of a part."""
    prepare()
    module, _, attribute = PARTS[kind][name].partition(":")
    return getattr(importlib.import_module(module), attribute)
