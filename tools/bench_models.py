"""What tools/bench_search.py compares: networks of WSJ size with random weights, lengths like WSJ's, both sides.

Nothing is downloaded. A model directory is ESPnet's (config.yaml and a checkpoint), so that kdasr and ESPnet load
the very same files. The weights are random, but sharp: output layers are scaled up so that two hypotheses seldom
have nearly the same score, and <blank> and <sos/eos> are never likely, so that a hypothesis ends at its limit.
"""

from __future__ import annotations

import argparse
import string
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdasr.data.matrices import read_matrix
from kdasr.espnet import name
from kdasr.files import write_table
from kdasr.networks.load import register
from kdasr.search.engine import Engine
from kdasr.search.options import SearchOptions
from kdasr.search.rows import Row

Ids = list[list[int]]  # the N-best of an utterance as token ids without <blank>, <sos> and <eos>
Side = Callable[[Sequence[Row]], dict[str, Ids]]

CONF = Path(__file__).resolve().parent.parent / "egs/wsj/conf"
TOKENS = ["<blank>", "<unk>", "<space>", *string.ascii_lowercase, *string.digits, *"'.-&,:;!?()", "<sos/eos>"]
BINS = 80
FRAMES_A_SECOND = 100  # of input features
ENCODED_A_SECOND = 25  # all three encoders subsample by four
TOKENS_A_SECOND = 14  # characters of read newspaper text
RATIO = TOKENS_A_SECOND / ENCODED_A_SECOND
SHARPNESS = 6.0  # what output weights are multiplied by
LIVELY = 3.0  # what weights of the VGG encoder are multiplied by: else all its frames are nearly the same
NEVER = -100.0  # log-odds of <blank> and <sos/eos>
SHORTEST, LONGEST, MEAN, SHAPE = 2.0, 15.0, 7.8, 5.5  # seconds; of a gamma distribution


def network(kind: str) -> dict[str, Any]:
    """Encoder and decoder settings of `rnn`, `munim` or `conformer`, from egs/wsj/conf."""
    import yaml

    files = {"rnn": "wsj_vgg_teacher", "munim": "wsj_rnn_teacher", "conformer": "wsj_conformer_teacher"}
    given = yaml.safe_load((CONF / f"{files[kind]}.yaml").read_text(encoding="utf-8"))
    settings = {key: given[key] for key in ("encoder", "encoder_conf", "decoder", "decoder_conf")}
    if kind == "rnn":
        settings["decoder_conf"]["hidden_size"] = 320
        # ESPnet's RNNP applies this dropout in decoding, too: the same audio is encoded otherwise each time.
        settings["encoder_conf"]["dropout"] = 0.0
    return settings


@contextmanager
def _no_arguments() -> Iterator[None]:
    """ESPnet's defaults parse the command line of the process: hide this one's."""
    given, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = given


def write_model(directory: Path, settings: dict[str, Any], seed: int = 0, bins: int | None = BINS) -> Path:
    """A model directory with random weights, for `settings` as of `network`; it reads audio if `bins` is None."""
    import torch
    import yaml

    directory.mkdir(parents=True)
    task = register()
    with _no_arguments():
        config = task.get_default_config()
    config.update(settings, token_list=TOKENS, token_type="char", input_size=bins, specaug=None, normalize=None)
    (directory / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    torch.manual_seed(seed)
    model = task.build_model(argparse.Namespace(**config))
    decoder = model.decoder
    output = decoder.output if hasattr(decoder, "output") else decoder.output_layer
    with torch.no_grad():
        for parameter in model.encoder.parameters() if settings["encoder"] == "vgg_rnn" else ():
            parameter.mul_(LIVELY if parameter.dim() > 1 else 1.0)
        for layer in (output, model.ctc.ctc_lo):
            layer.weight.mul_(SHARPNESS)
            layer.bias.normal_()
        output.bias[0] = output.bias[-1] = NEVER
    torch.save(model.state_dict(), directory / "valid.acc.best.pth")
    return directory


def lengths(count: int, groups_of: int = 1, seed: int = 0) -> list[float]:
    """Seconds of `count` utterances: evenly spaced quantiles of WSJ-like lengths (2 to 15 s, mean 7.8 s), shuffled.

    Args:
        count: utterances.
        groups_of: so many in a row of length are made equally long, at their mean.
        seed: of the order.
    """
    import numpy as np

    many = np.clip(np.random.default_rng(seed).gamma(SHAPE, MEAN / SHAPE, 100_000), SHORTEST, LONGEST)  # (100000,)
    seconds = np.quantile(many, (np.arange(count) + 0.5) / count)  # (count,)
    for first in range(0, count, groups_of):
        seconds[first : first + groups_of] = seconds[first : first + groups_of].mean()
    return [round(float(one), 2) for one in np.random.default_rng(seed).permutation(seconds)]


def write_data(directory: Path, seconds: Sequence[float], seed: int = 0, bins: int = BINS) -> Path:
    """A data directory of random features with these lengths."""
    import kaldiio
    import numpy as np

    directory.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    names = [f"u{number:04}" for number in range(len(seconds))]
    with kaldiio.WriteHelper(f"ark,scp:{directory}/feats.ark,{directory}/feats.scp") as writer:
        for utterance, length in zip(names, seconds, strict=True):
            writer(utterance, rng.normal(size=(round(length * FRAMES_A_SECOND), bins)).astype(np.float32))
    write_table(directory / "utt2dur", {u: str(length) for u, length in zip(names, seconds, strict=True)})
    return directory


def espnet1_model(model: Any, settings: dict[str, Any], bins: int = BINS) -> Any:
    """ESPnet1's E2E model with the weights of an ESPnet2 model of kind `rnn` (`settings` as of `network`)."""
    encoder, decoder, att = settings["encoder_conf"], settings["decoder_conf"], settings["decoder_conf"]["att_conf"]
    args = argparse.Namespace(
        etype="vggblstmp",
        elayers=encoder["num_layers"],
        eunits=encoder["hidden_size"],
        eprojs=encoder["output_size"],
        dtype=decoder["rnn_type"],
        dlayers=decoder["num_layers"],
        dunits=decoder["hidden_size"],
        atype=att["atype"],
        adim=att["adim"],
        aconv_chans=att["aconv_chans"],
        aconv_filts=att["aconv_filts"],
        mtlalpha=0.5,
        char_list=TOKENS,
        sym_space="<space>",
        sym_blank="<blank>",
        ctc_type="builtin",
        lsm_type="",
        lsm_weight=0.0,
        outdir=None,
        verbose=0,
        report_cer=False,
        report_wer=False,
    )
    device = next(model.parameters()).device
    with _no_arguments():
        old = name("espnet.nets.pytorch_backend.e2e_asr:E2E")(bins, len(TOKENS), args)
    weights = {}
    for key, value in model.state_dict().items():
        part, _, rest = key.partition(".")
        if rest.startswith("att_list."):
            weights["att." + rest.removeprefix("att_list.")] = value
            weights["dec.att." + rest.removeprefix("att_list.")] = value
        else:
            weights[{"encoder": "enc", "decoder": "dec", "ctc": "ctc"}[part] + "." + rest] = value
    old.load_state_dict(weights)
    return old.to(device).eval()


def kdasr_side(engine: Engine) -> Side:
    """The engine as `kdasr nbest` runs it."""
    return lambda rows: {record["id"]: [hyp["tokens"] for hyp in record["hyps"]] for record in engine.decode(rows)}


def espnet2_side(source: Any, options: SearchOptions, device: str, batch: int) -> Side:
    """ESPnet2's own inference, with the search that it chooses; `batch` utterances at once where it can."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    register()
    more: dict[str, Any] = {} if batch == 1 else {"batch_size": batch}
    decode = name("espnet2.bin.asr_inference:Speech2Text")(
        asr_train_config=f"{source.directory}/config.yaml",
        asr_model_file=source.checkpoint,
        device=device,
        maxlenratio=options.maxlenratio,
        minlenratio=options.minlenratio,
        beam_size=options.beam,
        ctc_weight=options.ctc_weight,
        penalty=options.penalty,
        nbest=options.nbest,
        **more,
    )

    def run(rows: Sequence[Row]) -> dict[str, Ids]:
        loaded = {row.name: read_matrix(row.name, row.place) for row in rows}
        if batch == 1:
            return {key: [hyp[2] for hyp in decode(x)] for key, x in loaded.items()}
        order = sorted(loaded, key=lambda key: -len(loaded[key]))
        found = {}
        for first in range(0, len(order), batch):
            keys = order[first : first + batch]
            padded = pad_sequence([torch.tensor(loaded[key]) for key in keys], batch_first=True)  # (B, T, F)
            sizes = torch.tensor([len(loaded[key]) for key in keys])  # (B,)
            found.update(zip(keys, decode.batch_decode(padded, sizes), strict=True))
        return {key: [hyp[2] for hyp in hyps] for key, hyps in found.items()}

    return run


def espnet1_side(engine: Engine, settings: dict[str, Any], batch: int, bins: int = BINS) -> Side:
    """ESPnet1's `recognize_batch` on the weights of kdasr's model."""
    import numpy as np
    import torch

    model, options = espnet1_model(engine.model, settings, bins), engine.options
    words = argparse.Namespace(
        beam_size=options.beam,
        penalty=options.penalty,
        ctc_weight=options.ctc_weight,
        maxlenratio=options.maxlenratio,
        minlenratio=options.minlenratio,
        lm_weight=0.0,
        nbest=options.nbest,
    )

    @torch.no_grad()
    def run(rows: Sequence[Row]) -> dict[str, Ids]:
        loaded = {row.name: np.array(read_matrix(row.name, row.place)) for row in rows}  # (T, F), writable
        order, found = sorted(loaded, key=lambda key: -len(loaded[key])), {}
        for first in range(0, len(order), batch):
            keys = order[first : first + batch]
            lists = model.recognize_batch([loaded[key] for key in keys], words, engine.model.token_list)
            for key, hyps in zip(keys, lists, strict=True):
                found[key] = [[token for token in hyp["yseq"][1:-1] if token] for hyp in hyps]
        return found

    return run
