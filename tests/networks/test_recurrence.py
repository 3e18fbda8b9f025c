"""The recurrence with its gradient written out is that of the decoder's steps."""

import pytest
import torch

from kdasr.networks.decoder import AttentionDecoder
from kdasr.networks.prefixes import prefixes_of
from kdasr.networks.recurrence import AttentionGRU, by_owner

# two utterances, three hypotheses: shared beginnings, one within another, one left out
HYPOTHESES = [[[9, 1, 2, 3, 4], [9, 1, 2, 5, -1], [9, 1, -1, -1, -1]], [[9, 2, 2, 3, -1], [9, 6, -1, -1, -1], [9] * 5]]
USED = [[True, True, True], [True, True, False]]


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
@pytest.mark.parametrize("lens", [(9, 9), (9, 2), (1, 4)])
@pytest.mark.parametrize("share", [True, False])
def test_values_and_gradients_equal_autograds(kernel_size, lens, share):
    torch.manual_seed(2)
    prefixes = prefixes_of(torch.tensor(HYPOTHESES), torch.tensor(USED), share)
    decoder = AttentionDecoder(11, 6, hidden_size=8, embed_size=5, attention_size=7, kernel_size=kernel_size).double()
    hs = torch.randn(2, max(lens), 6, dtype=torch.double, requires_grad=True)
    embedded = torch.randn(len(prefixes.tokens), 5, dtype=torch.double, requires_grad=True)
    weights = torch.randn(len(prefixes.tokens), 14, dtype=torch.double)  # of the sum that is differentiated
    leaves = [hs, embedded] + [p for name, p in decoder.named_parameters() if not name.startswith(("embed", "output"))]
    results = []
    for run in (decoder._all_steps, decoder._stepped):
        features = run(embedded, prefixes, decoder.remember(hs, torch.tensor(lens)))
        results.append((features.detach(), *torch.autograd.grad((features * weights).sum(), leaves)))
    for ours, autograds in zip(*results, strict=True):
        torch.testing.assert_close(ours, autograds, rtol=1e-10, atol=1e-12)
        assert autograds.abs().max() > 0 or kernel_size == 1 or min(lens) == 1


@pytest.mark.parametrize("lens", [(4, 9, 7), (9, 2, 5)])
def test_updates_on_one_hypothesis_each_are_those_of_autograd(lens):
    """Rows of a step follow each other then. Shorter texts may come first, and one utterance has none that counts."""
    hypotheses = torch.tensor([[[9, 1, -1, -1, -1]], [[9, 1, 2, 5, 3]], [[9, 4, 4, -1, -1]], [[9, 2, -1, -1, -1]]])
    prefixes = prefixes_of(hypotheses, torch.tensor([[True], [True], [True], [False]]))
    ends = []
    for name in ("_all_steps", "_stepped"):
        torch.manual_seed(2)
        decoder = AttentionDecoder(11, 6, hidden_size=8, embed_size=5, attention_size=7, kernel_size=3).double()
        optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)
        hs = torch.randn(4, max(lens), 6, dtype=torch.double, requires_grad=True)
        weights = torch.randn(len(prefixes.tokens), 14, dtype=torch.double)
        for _ in range(5):
            memory = decoder.remember(hs, torch.tensor([*lens, 3]))
            features = getattr(decoder, name)(decoder.embed(prefixes.tokens), prefixes, memory)
            optimizer.zero_grad()
            (features * weights).sum().backward()
            optimizer.step()
        ends.append([features.detach(), hs.grad, *(p.detach() for p in decoder.parameters())])
    for ours, autograds in zip(*ends, strict=True):
        torch.testing.assert_close(ours, autograds, rtol=1e-8, atol=1e-9)


def test_gradcheck():
    """Against finite differences, which know nothing of autograd."""
    torch.manual_seed(4)
    prefixes = prefixes_of(torch.tensor([[[3, 1, 2], [3, 1, 0]], [[3, 2, -1], [3, 0, 0]]]), torch.ones(2, 2).bool())
    assert prefixes.sizes == (2, 3, 3)
    pad = torch.tensor([[False] * 4, [False, False, True, True]])
    inputs = [(8, 9), (2, 4, 2), (2, 4, 5), None, (9, 5), (9, 3), (9,), (2, 3), (2, 3), (1, 2)]
    x, *tensors = [pad if s is None else torch.randn(s, dtype=torch.double, requires_grad=True) for s in inputs]
    assert torch.autograd.gradcheck(
        lambda x, *more: AttentionGRU.apply(x, prefixes.parent, prefixes.owner, prefixes.sizes, *more), (x, *tensors)
    )


def test_outer_products_by_owner():
    first, second = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([[1.0], [10.0], [100.0]])
    found = by_owner(first, second, torch.tensor([0, 2, 0]), 3)
    assert found.squeeze(2).tolist() == [[501.0, 602.0], [0.0, 0.0], [30.0, 40.0]]
