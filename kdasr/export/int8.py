"""Weights in int8: a quarter of the size, one scale for each output channel.

Weights alone are rounded. onnxruntime's dynamic quantisation also rounds what the layers get, at every step; it leaves
GRUs as they are, and for students of this size it was neither smaller nor faster, and worse (docs/deploy.md). A weight
w of channel c is stored as q = round(w / s_c), s_c = max |w| / 127, and the graph makes s_c q of it. onnxruntime does
so once, when kdasr.runtime loads the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

SMALLEST = 256  # numbers of a tensor that is worth it: a scale and a node have a size of their own, too
# Which axis of a weight are its output channels, by the kind of the node that reads it; its place among the inputs.
CHANNELS = {("MatMul", 1): -1, ("Gemm", 1): 0, ("Conv", 1): 0, ("Gather", 0): 0}
CHANNELS |= {(kind, place): 1 for kind in ("LSTM", "GRU", "RNN") for place in (1, 2)}  # (directions, gates, inputs)


def quantise(source: Path, target: Path) -> None:
    """Write a graph with its weights in int8."""
    model = onnx.load(source)
    graph = model.graph
    uses = {name: (node, place) for node in graph.node for place, name in enumerate(node.input)}
    kept, nodes = [], []
    for weight in graph.initializer:
        axis = _axis(weight, uses)
        if axis is None:
            kept.append(weight)
            continue
        values = numpy_helper.to_array(weight)
        rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)  # (channels, the rest)
        scale = (np.abs(rows).max(1) / 127).astype(np.float32)  # (channels,)
        scale[scale == 0] = 1.0
        shape = [1] * values.ndim
        shape[axis] = -1
        whole = np.clip(np.rint(values / scale.reshape(shape)), -127, 127).astype(np.int8)
        kept += [
            numpy_helper.from_array(whole, f"{weight.name}_int8"),
            numpy_helper.from_array(scale, f"{weight.name}_scale"),
        ]
        names = [f"{weight.name}_int8", f"{weight.name}_scale"]
        nodes.append(helper.make_node("DequantizeLinear", names, [weight.name], name=f"{weight.name}_float", axis=axis))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    ordered = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(ordered)
    onnx.save(model, target)


def _axis(weight: onnx.TensorProto, uses: dict[str, tuple[onnx.NodeProto, int]]) -> int | None:
    """The axis of a weight's channels, from 0; None for what stays as it is."""
    if weight.data_type != onnx.TensorProto.FLOAT or len(weight.dims) < 2 or np.prod(weight.dims) < SMALLEST:
        return None
    node, place = uses.get(weight.name, (None, 0))
    if node is None:
        return None
    axis = CHANNELS.get((node.op_type, place))
    if axis is not None and node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute):
        axis = 1
    return axis if axis is None or axis >= 0 else len(weight.dims) + axis
