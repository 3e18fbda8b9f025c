"""What stands before an encoder, as parts of graphs: ESPnet's waveform front end, its normalisations, and embeddings.

The STFT is a convolution with cosines and sines, which every engine has. Stored, they would be a megabyte, more than a
student: `unfold_basis` puts nodes in their place that make them, which onnxruntime runs once, when it loads the file.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.export.espnet_encoders import positioned
from kdasr.networks.text import Lookup


class Waveform(nn.Module):
    """ESPnet's `default` front end for one utterance: log-mel energies of an STFT's powers.

    Args:
        frontend: of the model; with one channel, and without enhancement.
    """

    def __init__(self, frontend: Any) -> None:
        super().__init__()
        stft = frontend.stft
        if stft is None or (
            frontend.frontend is not None and (frontend.frontend.use_wpe or frontend.frontend.use_beamformer)
        ):
            raise UserError("its front end enhances speech of several channels, which has no graph; name another model")
        self.size, self.hop, self.centred = stft.n_fft, stft.hop_length, stft.center
        window = (
            torch.ones(stft.win_length)
            if stft.window is None
            else getattr(torch, f"{stft.window}_window")(stft.win_length)
        )
        left = (self.size - stft.win_length) // 2
        window = nn.functional.pad(window, (left, self.size - stft.win_length - left))  # (N,)
        number, bins = torch.arange(self.size), torch.arange(self.size // 2 + 1)  # (N,), (N / 2 + 1,)
        turn = torch.remainder(bins[:, None] * number, self.size).double() * (2 * math.pi / self.size)
        waves = torch.cat([torch.cos(turn), torch.sin(turn)])  # (N + 2, N)
        scale = self.size**-0.5 if stft.normalized else 1.0
        self.register_buffer("basis", (waves * window * scale).float()[:, None])  # (N + 2, 1, N)
        self.register_buffer("mel", frontend.logmel.melmat.detach())  # (N / 2 + 1, F)
        base = frontend.logmel.log_base
        self.log_scale = 1.0 if base is None else 1 / math.log(base)
        if not stft.onesided:
            raise UserError("its front end has an STFT of both sides, which has no graph; name another model")

    def forward(self, x: Tensor) -> Tensor:
        """(samples,) -> (T, F)."""
        x = x[None, None]  # (1, 1, samples)
        if self.centred:
            x = nn.functional.pad(x, (self.size // 2, self.size // 2), mode="reflect")
        real, imaginary = nn.functional.conv1d(x, self.basis, stride=self.hop)[0].chunk(2)  # (N / 2 + 1, T) each
        power = (real**2 + imaginary**2).t()  # (T, N / 2 + 1)
        return torch.clamp(power @ self.mel, min=1e-10).log() * self.log_scale  # (T, F)


def unfold_basis(path: Path, size: int) -> None:
    """Put nodes in place of the stored cosines and sines of an STFT of `size` points in a graph's file.

    Raises:
        ValueError: it stores none.
    """
    model = onnx.load(path)
    graph = model.graph
    half = size // 2 + 1
    [basis] = [one for one in graph.initializer if list(one.dims) == [2 * half, 1, size]]
    stored = numpy_helper.to_array(basis)[:, 0]  # (N + 2, N)
    numbers = {"zero": 0, "one": 1, "points": size, "bins": half, "last": [1]}
    constants = {f"stft_{key}": np.array(value, np.int64) for key, value in numbers.items()}
    constants["stft_angle"] = np.array(2 * math.pi / size, np.float32)
    constants["stft_window"] = stored[0]  # of bin 0, whose cosine is 1
    steps = [
        ("Range", ["zero", "points", "one"], "number"),  # (N,)
        ("Range", ["zero", "bins", "one"], "bin"),  # (N / 2 + 1,)
        ("Unsqueeze", ["bin", "last"], "column"),
        ("Mul", ["column", "number"], "product"),  # (N / 2 + 1, N)
        ("Mod", ["product", "points"], "turn"),  # so that the angle stays small, and exact
        ("Cast", ["turn"], "float"),
        ("Mul", ["float", "angle"], "phase"),
        ("Cos", ["phase"], "cosine"),
        ("Sin", ["phase"], "sine"),
        ("Concat", ["cosine", "sine"], "both"),
        ("Mul", ["both", "window"], "windowed"),  # (N + 2, N)
    ]
    more: dict[str, dict[str, int]] = {"Cast": {"to": onnx.TensorProto.FLOAT}, "Concat": {"axis": 0}}
    nodes = [
        helper.make_node(kind, [f"stft_{x}" for x in inputs], [f"stft_{out}"], name=f"stft_{out}", **more.get(kind, {}))
        for kind, inputs, out in steps
    ]
    nodes.append(helper.make_node("Unsqueeze", ["stft_windowed", "stft_last"], [basis.name], name="stft_basis"))
    graph.initializer.remove(basis)
    graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in constants.items())
    ordered = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(ordered)
    onnx.save(model, path)


class Normalised(nn.Module):
    """`global_mvn` or `utterance_mvn` for one utterance."""

    def __init__(self, normalize: Any) -> None:
        super().__init__()
        self.means, self.vars, self.eps = normalize.norm_means, normalize.norm_vars, normalize.eps
        self.fixed = isinstance(normalize, name("espnet2.layers.global_mvn:GlobalMVN"))
        if self.fixed:
            self.register_buffer("mean", normalize.mean.detach().float())  # (F,)
            self.register_buffer("std", normalize.std.detach().float())  # (F,)

    def forward(self, x: Tensor) -> Tensor:
        """(T, F) -> (T, F)."""
        if self.fixed:
            x = x - self.mean if self.means else x
            return x / self.std if self.vars else x
        mean = x.mean(0, keepdim=True)  # (1, F)
        centred = x - mean
        std = torch.clamp(centred.pow(2).mean(0, keepdim=True).sqrt(), min=self.eps)  # (1, F)
        x = centred if self.means else x
        return x / std if self.vars else x


class Embedded(nn.Module):
    """`lookup` and ESPnet's `embed` for one sentence."""

    def __init__(self, frontend: Any) -> None:
        super().__init__()
        self.embed, self.place = frontend.embed[0], positioned(frontend.embed[1])

    def forward(self, x: Tensor) -> Tensor:
        """(T,) -> (T, F)."""
        return self.place(self.embed(x)[None])[0]


def before_encoder(model: Any) -> nn.Module:
    """All that a model does before its encoder: (T, F), (samples,) or (tokens,) -> (T, F).

    Raises:
        UserError: it has a front end or another part that no graph is known for; it is named.
    """
    parts: list[nn.Module] = []
    if isinstance(model.frontend, (Lookup, name("espnet2.mt.frontend.embedding:Embedding"))):
        parts.append(Embedded(model.frontend))
    elif model.frontend is not None:
        if type(model.frontend) is not name("espnet2.asr.frontend.default:DefaultFrontend"):
            raise UserError(
                f"its front end {type(model.frontend).__name__} cannot be exported; name a model of features or of "
                "ESPnet's default front end"
            )
        parts.append(Waveform(model.frontend))
    if getattr(model, "normalize", None) is not None:  # of a translator there is none
        known = ("espnet2.layers.global_mvn:GlobalMVN", "espnet2.layers.utterance_mvn:UtteranceMVN")
        if not isinstance(model.normalize, tuple(name(one) for one in known)):
            raise UserError(
                f"its normalisation {type(model.normalize).__name__} cannot be exported; name a model of global_mvn "
                "or utterance_mvn"
            )
        parts.append(Normalised(model.normalize))
    for part in ("preencoder", "postencoder"):
        if getattr(model, part) is not None:
            raise UserError(
                f"its {part} {type(getattr(model, part)).__name__} cannot be exported; name a model without one"
            )
    return nn.Sequential(*parts)
