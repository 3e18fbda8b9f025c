"""Linear layers with packed weights: the same numbers, in the same places."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdasr.processor import has_bf16
from kdasr.search import packed
from kdasr.search.packed import PackedLinear, in_float32, pack

pytestmark = pytest.mark.skipif(not packed.can_pack(), reason="this torch has no packed linear layers")


class Shared(nn.Module):
    """A layer at two places, one too small to pack, and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(300, 400), nn.ReLU(), nn.Linear(400, 300, bias=False)])
        self.again, self.small, self.embed = self.layers[0], nn.Linear(400, 7), nn.Embedding(5, 300)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 300), (50, 300), (3, 10, 300), (0, 300)])
def test_packed_layers_give_what_they_gave(shape):
    model, x = Shared().eval(), torch.randn(shape)
    expected, plain = model.layers[2](model.layers[0](x)), model.small
    pack(model)
    assert type(model.layers[0]) is PackedLinear and model.again is model.layers[0] and model.small is plain
    assert model.layers[2].bias is None
    torch.testing.assert_close(model.layers[2](model.layers[0](x)), expected, atol=1e-5, rtol=1e-5)
    # rows that do not lie side by side in memory
    apart = torch.randn(4, 6, 300)[:, ::2]
    torch.testing.assert_close(
        model.again(apart), nn.functional.linear(apart, model.again.weight, model.again.bias), atol=1e-5, rtol=1e-5
    )


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bfloat16 arithmetic")
@torch.no_grad()
def test_layers_of_bfloat16_round_their_factors_and_result(monkeypatch):
    model, x = Shared().eval(), torch.randn(50, 300)
    model.token_list = ["a"] * 300  # of as many tokens as the last layer has outputs
    expected = model.layers[0](x)
    rounded = nn.functional.linear(x.bfloat16().double(), model.layers[0].weight.bfloat16().double())
    rounded = (rounded + model.layers[0].bias.bfloat16().double()).bfloat16().float()
    pack(model, bf16=True)
    found = model.layers[0](x)
    assert found.dtype == torch.float32 and model.layers[0](x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(found, rounded, atol=1e-4, rtol=2**-8)  # a sum's last bit may round otherwise
    assert 1e-4 < (found - expected).abs().max() < 0.02 * expected.abs().max()
    assert model.again.bf16 and not model.layers[2].bf16  # its values are scores of tokens
    with in_float32(model):
        torch.testing.assert_close(model.layers[0](x), expected, atol=1e-6, rtol=1e-6)
    assert torch.equal(model.layers[0](x), found)


def test_what_is_not_packed(monkeypatch):
    watched, double = nn.Sequential(nn.Linear(300, 400)), nn.Sequential(nn.Linear(300, 400).double())
    watched[0].register_forward_hook(lambda *_: None)
    for model in (watched, double):
        pack(model)
        assert type(model[0]) is nn.Linear
    monkeypatch.setattr(packed, "MOST", 100_000)
    large = nn.Sequential(nn.Linear(300, 400))
    pack(large)
    assert type(large[0]) is nn.Linear
