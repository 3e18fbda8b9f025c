"""Linear layers with packed weights: the same numbers, in the same places."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdasr.search import packed
from kdasr.search.packed import PackedLinear, pack

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
