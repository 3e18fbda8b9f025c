"""A model as graphs: which parts compute it, traced into ONNX, and compared with the model itself.

ESPnet has an exporter of its own, espnet-onnx. It has had no release since 2024 and pins typeguard 2.13, which ESPnet
202511 cannot be installed beside; and its decoders take the whole prefix at every step. So the parts are kdasr's.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.export import own
from kdasr.export.before import Waveform, before_encoder, unfold_basis
from kdasr.export.espnet_decoders import RnnStep, TransformerStep
from kdasr.export.espnet_encoders import ENCODERS
from kdasr.export.parts import DecoderGraph, EncoderGraph, Tensors
from kdasr.search.rnn_decoders import RnnDecoderScorer
from kdasr.search.transformers import TransformerScorer

OPSET = 17
HYPOTHESES = 3  # K of the traced step; any other is taken, too


@dataclass(frozen=True)
class Graphs:
    """A model's graphs, not yet written.

    Attributes:
        encoder: input -> outputs named by `outputs`.
        decoder: a step; None for a model of CTC alone.
        outputs: names of the encoder's outputs: ctc (or frames), memory_0, ..., state_0, ...
        memories, states: how many there are of each.
        bins: F, or None where the input is a waveform or text.
        source: tokens that the text has which a translator reads; 0 of a model that takes audio.
    """

    encoder: EncoderGraph
    decoder: DecoderGraph | None
    outputs: tuple[str, ...]
    memories: int
    states: int
    bins: int | None
    source: int = 0

    def example(self, seconds: float) -> Tensor:
        """An input of so many seconds, or of ten tokens for each of them, <sos> in front."""
        if not self.source:
            return example(self.bins, seconds)
        generator = torch.Generator().manual_seed(int(100 * seconds))
        tokens = torch.randint(0, self.source, (int(10 * seconds),), generator=generator)  # (T - 1,)
        return torch.cat([torch.tensor([self.source - 1]), tokens])

    @property
    def has_ctc(self) -> bool:
        """Whether the first output is CTC's."""
        return self.outputs[0] == "ctc"


def graphs_of(model: Any, where: str | Path, bins: int | None) -> Graphs:
    """The graphs of a loaded model.

    Args:
        model: an ESPnet ASR or MT model in evaluation mode.
        where: its directory, for messages.
        bins: F, None of a model that takes audio or text.

    Raises:
        UserError: a network, front end or option that no graph is known for; it is named.
    """
    try:
        encoder, decoder = encoder_part(model), decoder_part(model)
        branch = getattr(model, "ctc", None)  # a translator has none
        ctc = None if branch is None else branch.ctc_lo
        if ctc is None and decoder is None:
            raise UserError("it has neither an attention decoder nor CTC")
        whole = EncoderGraph(before_encoder(model), encoder, ctc, decoder).eval()
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    names = ["frames" if ctc is None else "ctc"]
    plan = Graphs(whole, None, tuple(names), 0, 0, bins, getattr(model, "src_vocab_size", 0))
    if decoder is None:
        return plan
    with torch.no_grad():
        hs = encoder(whole.before(plan.example(1.0)))
        memories, states = len(decoder.remember(hs)), len(decoder.start(hs))
    names += [f"memory_{i}" for i in range(memories)] + [f"state_{i}" for i in range(states)]
    step = DecoderGraph(decoder, memories).eval()
    return replace(plan, decoder=step, outputs=tuple(names), memories=memories, states=states)


def encoder_part(model: Any) -> nn.Module:
    """The part that computes a model's encoder; UserError if none is known."""
    kind = type(model.encoder)
    if kind in own.ENCODERS:
        return own.ENCODERS[kind](model.encoder)
    for path, part in ENCODERS.items():
        if kind is name(path):
            return part(model.encoder, getattr(model, "ctc", None))
    known = ", ".join(path.partition(":")[2] for path in ENCODERS)
    raise UserError(f"its encoder {kind.__name__} cannot be exported; known are conv_rnn, munim_rnn, text_rnn, {known}")


def decoder_part(model: Any) -> nn.Module | None:
    """The part that computes a step of a model's decoder, None without one; UserError if none is known."""
    decoder = model.decoder
    if decoder is None:
        return None
    if type(decoder) in own.DECODERS:
        return own.DECODERS[type(decoder)](decoder)
    if TransformerScorer.fits(decoder):
        return TransformerStep(decoder)
    if RnnDecoderScorer.fits(decoder):
        return RnnStep(decoder)
    attention = f" with {type(decoder.att_list[0]).__name__}" if hasattr(decoder, "att_list") else ""
    raise UserError(
        f"its decoder {type(decoder).__name__}{attention} cannot be exported; known are attention_gru, munim_gru, "
        "luong, and ESPnet's transformer and rnn in their usual forms"
    )


def example(bins: int | None, seconds: float) -> Tensor:
    """An input of so many seconds: (T, F), or (samples,)."""
    generator = torch.Generator().manual_seed(int(100 * seconds))
    shape = (int(16000 * seconds),) if bins is None else (int(100 * seconds), bins)
    return torch.randn(shape, generator=generator) * (0.1 if bins is None else 3.0)


def run_encoder(graphs: Graphs, x: Tensor) -> tuple[Tensor | None, Tensors, Tensors]:
    """CTC's log probabilities (None without), memories and the first state, of an input."""
    with torch.no_grad():
        out = list(graphs.encoder(x))
    ctc = out.pop(0)
    return ctc if graphs.has_ctc else None, tuple(out[: graphs.memories]), tuple(out[graphs.memories :])


def step_inputs(graphs: Graphs, seconds: float, hypotheses: int, steps: int) -> Tensors:
    """What the decoder gets after so many steps: tokens (K,), memories, states (K, ...)."""
    assert graphs.decoder is not None
    _, memory, state = run_encoder(graphs, graphs.example(seconds))
    state = tuple(one.expand(hypotheses, *one.shape[1:]).contiguous() for one in state)
    tokens = torch.arange(1, hypotheses + 1)  # (K,)
    with torch.no_grad():
        for _ in range(steps):
            logp, *after = graphs.decoder(tokens, *memory, *state)
            tokens, state = logp.argmax(1), tuple(after)
    return (tokens, *memory, *state)


def write_encoder(graphs: Graphs, path: Path) -> None:
    """Trace the encoder into a file."""
    short, long = (graphs.example(seconds) for seconds in (1.0, 2.0))
    with torch.no_grad():
        outputs = [graphs.encoder(x) for x in (short, long)]
    axes = _axes(("x", *graphs.outputs), (short, *outputs[0]), (long, *outputs[1]))
    trace(graphs.encoder, (long,), path, ("x",), graphs.outputs, axes)
    for part in graphs.encoder.before:
        if isinstance(part, Waveform):
            unfold_basis(path, part.size)


def write_decoder(graphs: Graphs, path: Path) -> None:
    """Trace the decoder's step into a file, behind two steps, so that what grows with the prefix is there."""
    assert graphs.decoder is not None
    given = graphs.outputs[1:]
    after = [f"next_{i}" for i in range(graphs.states)]
    inputs = [step_inputs(graphs, *size) for size in ((1.0, HYPOTHESES - 1, 0), (2.0, HYPOTHESES, 2))]
    with torch.no_grad():
        outputs = [graphs.decoder(*one) for one in inputs]
    axes = _axes(("tokens", *given, "logp", *after), (*inputs[0], *outputs[0]), (*inputs[1], *outputs[1]))
    trace(graphs.decoder, inputs[1], path, ("tokens", *given), ("logp", *after), axes)


def _axes(names: Sequence[str], one: Tensors, other: Tensors) -> dict[str, dict[int, str]]:
    """The axes of tensors that differ between two examples, and so may have any size."""
    axes: dict[str, dict[int, str]] = {}
    for tensor, a, b in zip(names, one, other, strict=True):
        free = [axis for axis in range(a.dim()) if a.shape[axis] != b.shape[axis]]
        axes[tensor] = {axis: f"{tensor}_{axis}" for axis in free}
    return axes


def trace(
    graph: nn.Module,
    given: Tensors,
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: dict[str, dict[int, str]],
) -> None:
    """Write a graph as ONNX. Whether it computes the same for other sizes is checked afterwards."""
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            graph,
            given,
            str(path),
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
            dynamo=False,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracer's warnings: what they warn of (constants, batches of one) is checked afterwards."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
