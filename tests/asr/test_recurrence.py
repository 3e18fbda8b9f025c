"""The recurrence with its gradient written out is that of the decoder's steps."""

import pytest
import torch

from kdasr.asr.decoder import AttentionDecoder
from kdasr.asr.recurrence import AttentionGRU


def stepped(decoder, embedded, memory):
    """Features (B, K, L, H + E) by the decoder's own steps, differentiated by autograd."""
    state = decoder.start(memory, embedded.size(1))
    features = []
    for i in range(embedded.size(2)):
        feature, state = decoder._advance(embedded[:, :, i], state, memory)
        features.append(feature)
    return torch.stack(features, 2)


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
@pytest.mark.parametrize("lens", [(9, 9), (9, 2), (1, 4)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
def test_values_and_gradients_equal_autograds(kernel_size, lens, shape):
    torch.manual_seed(2)
    grid, steps = shape
    decoder = AttentionDecoder(11, 6, hidden_size=8, embed_size=5, attention_size=7, kernel_size=kernel_size).double()
    hs = torch.randn(2, max(lens), 6, dtype=torch.double, requires_grad=True)
    embedded = torch.randn(2, grid, steps, 5, dtype=torch.double, requires_grad=True)
    weights = torch.randn(2, grid, steps, 14, dtype=torch.double)  # of the sum that is differentiated
    leaves = [hs, embedded] + [p for name, p in decoder.named_parameters() if not name.startswith(("embed", "output"))]
    results = []
    for run in (decoder._all_steps, lambda e, m: stepped(decoder, e, m)):
        features = run(embedded, decoder.remember(hs, torch.tensor(lens)))
        results.append((features.detach(), *torch.autograd.grad((features * weights).sum(), leaves)))
    for ours, autograds in zip(*results, strict=True):
        torch.testing.assert_close(ours, autograds, rtol=1e-10, atol=1e-12)
        if ours.dim() != 4 and steps > 1:
            assert autograds.abs().max() > 0 or kernel_size == 1 or min(lens) == 1


def test_gradcheck():
    """Against finite differences, which know nothing of autograd."""
    torch.manual_seed(4)
    pad = torch.tensor([[False] * 4, [False, False, True, True]])
    inputs = [(2, 2, 3, 9), (2, 4, 2), (2, 4, 5), None, (9, 5), (9, 3), (9,), (2, 3), (2, 3), (1, 2)]
    tensors = [pad if s is None else torch.randn(s, dtype=torch.double, requires_grad=True) for s in inputs]
    assert torch.autograd.gradcheck(AttentionGRU.apply, tensors)
