"""Weights in int8, against numpy: one scale for each output channel, and nothing else is changed."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from bundles import BINS
from onnx import numpy_helper
from search_models import build

from kdasr.export import graphs
from kdasr.export.int8 import quantise

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.log_severity_level = 4
OPTIONS.add_session_config_entry("session.disable_quant_qdq", "1")  # as kdasr.runtime.networks has it


def weights(path):
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}


def run(path, feed):
    return onnxruntime.InferenceSession(path, OPTIONS).run(None, feed)


@pytest.fixture(scope="module", params=["kdasr", "conformer", "location_lstm"])
def made(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("int8")
    parts = graphs.graphs_of(build(request.param, seed=2, bins=BINS), "m", BINS)
    graphs.write_encoder(parts, root / "encoder.onnx")
    graphs.write_decoder(parts, root / "decoder.onnx")
    for name in ("encoder", "decoder"):
        quantise(root / f"{name}.onnx", root / f"{name}.int8.onnx")
    return root


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_weights_are_rounded_by_their_channel(made, name):
    plain, small = weights(made / f"{name}.onnx"), weights(made / f"{name}.int8.onnx")
    axes = {
        node.input[0].removesuffix("_int8"): node.attribute[0].i
        for node in onnx.load(made / f"{name}.int8.onnx").graph.node
        if node.op_type == "DequantizeLinear"
    }
    large = {key for key, value in plain.items() if value.ndim > 1 and value.size >= 256 and value.dtype == np.float32}
    assert large and axes.keys() == large
    for key, value in plain.items():
        if key not in axes:
            np.testing.assert_array_equal(small[key], value)
            continue
        others = tuple(axis for axis in range(value.ndim) if axis != axes[key])
        peak = np.abs(value).max(others, keepdims=True)
        assert small[f"{key}_int8"].dtype == np.int8 and small[f"{key}_int8"].min() >= -127
        scale = small[f"{key}_scale"].reshape(peak.shape)
        np.testing.assert_allclose(scale[peak > 0], peak[peak > 0] / 127, rtol=1e-6)
        assert (np.abs(small[f"{key}_int8"] * scale - value) <= scale * 0.5001).all()
    assert (made / f"{name}.int8.onnx").stat().st_size < (made / f"{name}.onnx").stat().st_size


def test_channels_of_a_linear_layer_are_its_outputs(tmp_path):
    """A row of large weights takes no precision from the others."""
    layer = torch.nn.Linear(64, 16)
    with torch.no_grad():
        layer.weight[3] *= 1000
    x = torch.randn(5, 64)
    torch.onnx.export(layer, (x,), str(tmp_path / "a.onnx"), input_names=["x"], dynamo=False)
    quantise(tmp_path / "a.onnx", tmp_path / "b.onnx")
    with torch.no_grad():
        right = layer(x).numpy()
    [found] = run(tmp_path / "b.onnx", {"x": x.numpy()})
    assert np.delete(np.abs(found - right), 3, 1).max() < 0.01 < np.abs(found - right)[:, 3].max()


def test_the_graph_computes_with_the_rounded_weights(made, tmp_path):
    """What onnxruntime makes of it is what the plain graph gives with these weights in place of its own."""
    small = weights(made / "encoder.int8.onnx")
    graph = onnx.load(made / "encoder.onnx")
    axes = {
        node.output[0]: node.attribute[0].i
        for node in onnx.load(made / "encoder.int8.onnx").graph.node
        if node.op_type == "DequantizeLinear"
    }
    for weight in graph.graph.initializer:
        if weight.name in axes:
            value = small[f"{weight.name}_int8"].astype(np.float32)
            shape = [-1 if axis == axes[weight.name] else 1 for axis in range(value.ndim)]
            value = value * small[f"{weight.name}_scale"].reshape(shape)
            weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    onnx.save(graph, tmp_path / "by_hand.onnx")
    x = np.random.default_rng(0).normal(size=(90, BINS)).astype(np.float32)
    both = (run(path, {"x": x}) for path in (tmp_path / "by_hand.onnx", made / "encoder.int8.onnx"))
    for right, found in zip(*both, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-4)
