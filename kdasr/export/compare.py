"""Whether the files of a bundle compute what the model computes: asked before a bundle is finished.

A graph that was traced with one input may be wrong for another, silently. So inputs of other lengths go through both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from kdasr.errors import UserError
from kdasr.export.graphs import Graphs, step_inputs
from kdasr.search.encode import Encoder

SECONDS = (0.6, 1.7, 3.1)  # of the inputs (of text, ten tokens a second); graphs are traced with another length
STEPS = (0, 1, 5)  # of the decoder, before the one that is compared
TOLERANCE = 1e-3  # of log probabilities, float32


def check(graphs: Graphs, model: object, encoder: Path, decoder: Path | None, where: str) -> None:
    """UserError if the encoder's file differs from the model, or the decoder's from the graph that was traced."""
    encode = session(encoder)
    step = None if decoder is None else session(decoder)
    for n, seconds in enumerate(SECONDS):
        x = graphs.example(seconds)
        names = list(graphs.outputs)
        found = encode.run(names, {"x": x.numpy()})
        hs = Encoder(model, "cpu").encode([x[1:] if graphs.source else x])[0]  # the model itself puts <sos> in front
        if hs is None:
            continue
        if graphs.has_ctc:
            with torch.no_grad():
                right = model.ctc.log_softmax(hs[None])[0].numpy()  # type: ignore[attr-defined]
            same(right, found[0], f"{where}: its encoder")
        elif len(hs) != len(found[0]):
            raise UserError(f"{where}: its encoder gives {len(found[0])} frames in ONNX, and {len(hs)} in torch")
        elif graphs.decoder is not None:  # without CTC, what the decoder gets tells what was encoded
            with torch.no_grad():
                memories = graphs.decoder.decoder.remember(hs)
            for right, value in zip(memories, found[1:], strict=False):
                same(right.numpy(), value, f"{where}: its encoder")
        if step is not None and graphs.decoder is not None:
            given = step_inputs(graphs, seconds, n + 1, STEPS[n])
            with torch.no_grad():
                right = graphs.decoder(*given)[0].numpy()
            names = [one.name for one in step.get_inputs()]
            inputs = dict(zip(("tokens", *graphs.outputs[1:]), (one.numpy() for one in given), strict=True))
            logp = step.run(["logp"], {name: inputs[name] for name in names})[0]
            same(right, logp, f"{where}: its decoder")


def session(path: Path) -> onnxruntime.InferenceSession:
    """A graph, to be run on one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def same(right: np.ndarray, found: np.ndarray, what: str) -> None:
    """UserError if values differ by more than float32 makes them differ."""
    if right.shape != found.shape or not np.abs(right - found).max() <= TOLERANCE * max(1.0, np.abs(right).max() / 50):
        apart = "another shape" if right.shape != found.shape else f"values {np.abs(right - found).max():.2g} apart"
        raise UserError(
            f"{what} has {apart} in ONNX than in torch, so it cannot be exported; use kdasr decode, and tell us"
        )
