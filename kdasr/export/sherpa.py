"""`kdasr export --format sherpa-onnx`: files that stock sherpa-onnx runs, in its own languages and on its platforms.

sherpa-onnx has no slot for recurrent students. Two of its slots take them all the same (kdasr.export.sherpa_graphs):
"fire-red-asr-2-ctc" the CTC branch, "fire-red-asr" the attention decoder. Both compute Kaldi's filterbanks, as kdasr
does, and normalise them with numbers of the file; here these change nothing, as the graph has the model's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from kdasr import __version__
from kdasr.errors import UserError
from kdasr.export import card, graphs, int8
from kdasr.export.before import Normalised
from kdasr.export.compare import SECONDS, STEPS, same, session
from kdasr.export.describe import described
from kdasr.export.own import AttentionStep, ConvRNN
from kdasr.export.settings import Exporting
from kdasr.export.sherpa_graphs import AttentionCaches, AttentionEncoder, CtcAlone, CtcBatch
from kdasr.export.sherpa_page import page
from kdasr.files import atomic_dir, atomic_write
from kdasr.models import find_model, only_recognisers
from kdasr.networks.load import load_model
from kdasr.runtime.spell import MARK

RATE, BINS = 16000, 80  # of both slots
LONGEST = 120  # seconds of audio that the attention slot has room for
CTC = "ctc.onnx"
ATTENTION = ("encoder.onnx", "decoder.onnx")
TOKENS = {"ctc": "tokens.txt", "attention": "tokens_attention.txt"}
CACHES = ("self_k_cache", "self_v_cache")
INPUTS = ("tokens", *(f"in_n_layer_{name}" for name in CACHES), "n_layer_cross_k", "n_layer_cross_v", "offset")
OUTPUTS = ("logits", *(f"out_n_layer_{name}" for name in CACHES))


def export(given: Exporting) -> None:
    """Write what of a model sherpa-onnx can run, and say which slots that are.

    Raises:
        UserError: a model that none of its slots takes, or other things at `out`.
    """
    refuse_other_things(given.out)
    only_recognisers(given.model, "kdasr export --format sherpa-onnx")
    source = find_model(given.model, given.model_file)
    network, args = load_model(given.model, str(Path(source.checkpoint).absolute()))
    torch.set_num_threads(1)
    parts = graphs.graphs_of(network, given.model, source.bins)
    settings = described(given, source, network, args, parts)
    refuse_other_audio(settings, given.model)
    attention = parts.decoder is not None and isinstance(parts.decoder.decoder, AttentionStep)
    if not attention and not parts.has_ctc:
        raise UserError(
            f"{given.model}: has no CTC, and its decoder {type(network.decoder).__name__} has no place in sherpa-onnx; "
            "name a model with CTC or attention_gru, or export a bundle (without --format)"
        )
    slots: dict[str, dict[str, list[str]]] = {}  # slot -> precision -> files
    with atomic_dir(given.out) as fresh:
        if parts.has_ctc:
            write_ctc(parts, fresh / CTC, settings, str(given.model))
            slots["ctc"] = {"fp32": [CTC]}
        if attention:
            write_attention(parts, fresh, settings, str(given.model))
            slots["attention"] = {"fp32": list(ATTENTION)}
        for slot, files in slots.items():
            if given.int8:
                files["int8"] = [name.replace(".onnx", ".int8.onnx") for name in files["fp32"]]
                for name, small in zip(files["fp32"], files["int8"], strict=True):
                    int8.quantise(fresh / name, fresh / small)
            with atomic_write(fresh / TOKENS[slot]) as stream:
                stream.write(table(source.tokens, settings["tokens"], slot))
        told = {"name": given.model.resolve().name, "kdasr": __version__, "slots": slots}
        told |= {"card": card.facts(given.model, network, given.licence, source.hashes[0])}
        told |= {"limit": limit(settings), "seconds": LONGEST, "batch": takes_batches(parts)}
        with atomic_write(fresh / card.PAGE) as stream:
            stream.write(page(told, {name: sum_of(fresh, names) for name, names in _sets(slots).items()}))
    if parts.decoder is not None and not attention:
        print(
            f"{given.model}: its decoder {type(network.decoder).__name__} has no place in sherpa-onnx; its CTC is there"
        )
    print(f"{given.out}: for sherpa-onnx; {card.PAGE} has the lines that run it")


def refuse_other_things(out: Path) -> None:
    """UserError if something else than an earlier export would be lost."""
    if not out.exists():
        return
    known = {CTC, *ATTENTION, *TOKENS.values(), card.PAGE}
    known |= {name.replace(".onnx", ".int8.onnx") for name in known}
    if not out.is_dir() or any(path.name not in known for path in out.iterdir()):
        raise UserError(f"{out}: holds other things than files for sherpa-onnx, which would be lost; name another one")


def refuse_other_audio(settings: Mapping[str, Any], where: Path) -> None:
    """UserError if a model takes other features than those that sherpa-onnx computes."""
    features = settings["features"]
    if features is None or (features["kind"], features["bins"], settings["sample_rate"]) != ("fbank", BINS, RATE):
        takes = "a waveform" if features is None else f"{features['bins']} bins of a {features['kind']}"
        raise UserError(
            f"{where}: takes {takes} at {settings['sample_rate']} Hz, and sherpa-onnx computes filterbanks of {BINS} "
            f"bins at {RATE} Hz; export a bundle instead (without --format)"
        )


def limit(settings: Mapping[str, Any]) -> int:
    """Tokens a second that a stream has to allow, so that the decoder's own limit (its frames) is the lower one."""
    return 4 * round(1 / settings["frame_seconds"])


def table(tokens: Sequence[str], spelling: Mapping[str, Any], slot: str) -> str:
    """The tokens as sherpa-onnx reads them, each with its id: it puts them together without anything between.

    Args:
        tokens: id -> token.
        spelling: of bundle.json.
        slot: "ctc", which has to know the blank; or "attention", which leaves out what it does not know.
    """
    lines = []
    for number, token in enumerate(tokens):
        if number == spelling["blank"]:
            token = "<blk>"
        elif spelling["kind"] == "word":
            token = MARK + token
        elif spelling["kind"] == "char" and token == spelling["space"]:
            token = MARK  # which it takes for a blank
        if slot == "ctc" or number not in spelling["silent"]:
            lines.append(f"{token} {number}\n")
    return "".join(lines)


def takes_batches(parts: graphs.Graphs) -> bool:
    """Whether there is a graph of the CTC branch that gives several utterances what each gives alone."""
    fixed = all(isinstance(part, Normalised) and part.fixed for part in parts.encoder.before)
    return isinstance(parts.encoder.encoder, ConvRNN) and fixed


def write_ctc(parts: graphs.Graphs, path: Path, settings: Mapping[str, Any], where: str) -> None:
    """Write the CTC branch, and compare it with the model's."""
    graph = (CtcBatch if takes_batches(parts) else CtcAlone)(parts.encoder).eval()
    batch = {0: "N"} if takes_batches(parts) else {}
    names = ("x", "x_lens"), ("log_probs", "log_probs_lens")
    axes = {"x": {1: "T"} | batch, "x_lens": batch, "log_probs": {1: "S"} | batch, "log_probs_lens": batch}
    graphs.trace(graph, _batch(2.0, *([1.3] if batch else [])), path, *names, axes)
    factor = round(100 * settings["frame_seconds"])
    _mark(path, {"model_type": "fire-red-asr-2-ctc", "subsampling_factor": factor, **_unchanged()})
    run = session(path)
    for seconds in SECONDS:
        x, lens = _batch(seconds, *([0.3, seconds / 2] if batch else []))
        logp, counts = run.run(None, {"x": x.numpy(), "x_lens": lens.numpy()})
        for row, (features, count) in enumerate(zip(x, lens.tolist(), strict=True)):
            right, _, _ = graphs.run_encoder(parts, features[:count])
            assert right is not None
            same(right.numpy(), logp[row, : counts[row]], f"{where}: its CTC for sherpa-onnx")


def write_attention(parts: graphs.Graphs, directory: Path, settings: Mapping[str, Any], where: str) -> None:
    """Write encoder and decoder, and compare what they give with the model's."""
    assert parts.decoder is not None
    eos = settings["tokens"]["eos"]
    encoder = AttentionEncoder(parts.encoder).eval()
    decoder = AttentionCaches(parts.decoder.decoder, eos).eval()
    paths = [directory / name for name in ATTENTION]
    inputs = ("x", "x_length"), ("n_layer_cross_k", "n_layer_cross_v")
    cross = {name: {2: "S"} for name in inputs[1]}
    graphs.trace(encoder, _batch(2.0), paths[0], *inputs, {"x": {1: "T"}, **cross})
    tokens, cache = torch.tensor([[1]]), torch.zeros(1, 1, 200, 1, decoder.width)
    with torch.no_grad():
        memory = encoder(*_batch(2.0))
    axes = {f"{way}_n_layer_{name}": {2: "rows", 4: "width"} for way in ("in", "out") for name in CACHES} | cross
    graphs.trace(decoder, (tokens, cache, cache + 0, *memory, torch.tensor([0])), paths[1], INPUTS, OUTPUTS, axes)
    room = 2 * int(LONGEST / settings["frame_seconds"])  # rows of a cache; half as many tokens are written at most
    shape = {"num_decoder_layers": 1, "num_head": 1, "head_dim": decoder.width, "max_len": room}
    _mark(paths[0], {**shape, "sos": settings["tokens"]["sos"], "eos": eos, **_unchanged()})
    _compare_steps(parts, paths, torch.zeros(1, 1, room, 1, decoder.width).numpy(), where)


def _compare_steps(parts: graphs.Graphs, paths: Sequence[Path], cache: np.ndarray, where: str) -> None:
    """UserError if a step of the files differs from the bundle's, whose tokens it is given."""
    assert parts.decoder is not None
    encoder, decoder = (session(path) for path in paths)
    for seconds in SECONDS:
        x, lens = _batch(seconds)
        memory = encoder.run(None, {"x": x.numpy(), "x_length": lens.numpy()})
        caches = [cache, cache]
        for step in range(max(STEPS) + 1):
            tokens, *rest = graphs.step_inputs(parts, seconds, 1, step)
            with torch.no_grad():
                right = parts.decoder(tokens, *rest)[0].numpy()  # (1, V)
            fed = (tokens[:, None].numpy(), *caches, *memory, np.array([step]))
            logits, *caches = decoder.run(None, dict(zip(INPUTS, fed, strict=True)))
            same(right, logits[0], f"{where}: its decoder for sherpa-onnx")


def _batch(*seconds: float) -> tuple[Tensor, Tensor]:
    """Inputs of so many seconds each, padded: (N, T, F), (N,)."""
    each = [graphs.example(BINS, one) for one in seconds]
    padded = torch.nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=-23.0)  # as sherpa-onnx pads
    return padded, torch.tensor([len(one) for one in each])


def _unchanged() -> dict[str, str]:
    """Normalisation that changes nothing."""
    return {"cmvn_mean": ",".join(["0"] * BINS), "cmvn_inv_stddev": ",".join(["1"] * BINS)}


def _mark(path: Path, facts: Mapping[str, Any]) -> None:
    """Add metadata to a graph."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
    onnx.save(model, path)


def _sets(slots: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, Sequence[str]]:
    """Name of a row of the page's table -> its files."""
    return {f"{slot}, {precision}": names for slot, files in slots.items() for precision, names in files.items()}


def sum_of(directory: Path, names: Sequence[str]) -> int:
    """Bytes of files."""
    return sum((directory / name).stat().st_size for name in names)
