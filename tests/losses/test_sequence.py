"""The sequence losses against hand computation, ESPnet's own losses, and the plain K-fold data set."""

import math

import pytest
import torch

from kdasr.losses.sequence import PADDING, accuracy, attention_loss, best_only, ctc_loss, prefix_weights


def apart(logits, targets):
    """Log-probabilities (N, V) and path (B, K, L) of logits (B, K, L, V) that no two steps share."""
    path = torch.arange(targets.numel()).view(targets.shape).masked_fill(targets == PADDING, PADDING)
    return torch.log_softmax(logits, -1).flatten(0, 2), path


def test_attention_loss_by_hand():
    # Two tokens; p = (1/4, 3/4) at every step.
    logits = torch.tensor([0.0, math.log(3.0)]).expand(1, 2, 2, 2)
    targets = torch.tensor([[[1, 1], [0, PADDING]]])
    weights = torch.tensor([[0.75, 0.25]])
    expected = 0.75 * -2 * math.log(0.75) + 0.25 * -math.log(0.25)
    assert attention_loss(*apart(logits, targets), targets, weights).item() == pytest.approx(expected, abs=1e-6)


def test_attention_loss_is_espnets_for_one_hypothesis():
    from espnet.nets.pytorch_backend.transformer.label_smoothing_loss import LabelSmoothingLoss

    logits = torch.randn(3, 5, 7)
    targets = torch.tensor([[1, 2, 3, 6, PADDING], [4, 6, PADDING, PADDING, PADDING], [0, 1, 2, 3, 6]])
    for smoothing in (0.0, 0.1):
        theirs = LabelSmoothingLoss(7, PADDING, smoothing)(logits, targets)
        ours = attention_loss(*apart(logits[:, None], targets[:, None]), targets[:, None], torch.ones(3, 1), smoothing)
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_ctc_loss_is_espnets_for_one_hypothesis():
    from espnet2.asr.ctc import CTC

    ctc = CTC(odim=6, encoder_output_size=4)
    encoded, frames = torch.randn(3, 9, 4), torch.tensor([9, 7, 5])
    targets, lens = torch.tensor([[1, 2, 3], [4, 4, PADDING], [5, PADDING, PADDING]]), torch.tensor([3, 2, 1])
    ours = ctc_loss(ctc.ctc_lo(encoded), frames, targets[:, None], torch.ones(3, 1))
    assert ours.item() == pytest.approx(ctc(encoded, frames, targets.clamp(min=0), lens).item(), rel=1e-5)


def test_ctc_loss_by_enumeration():
    # Two frames, target "a": the paths aa, a-, -a.
    p = torch.tensor([[[0.6, 0.4], [0.3, 0.7]]])
    loss = ctc_loss(p.log(), torch.tensor([2]), torch.tensor([[[1]]]), torch.ones(1, 1))
    assert loss.item() == pytest.approx(-math.log(0.4 * 0.7 + 0.4 * 0.3 + 0.6 * 0.7), rel=1e-5)


def test_ctc_loss_of_an_impossible_hypothesis_is_zero():
    logits = torch.randn(1, 2, 4)
    targets = torch.tensor([[[1, 2, 3], [1, PADDING, PADDING]]])
    weights = torch.tensor([[0.5, 0.5]])
    both = ctc_loss(logits, torch.tensor([2]), targets, weights)
    possible = ctc_loss(logits, torch.tensor([2]), targets[:, 1:], weights[:, 1:])
    assert both.item() == pytest.approx(possible.item())


@pytest.mark.parametrize("loss", ["attention", "ctc"])
def test_k_hypotheses_equal_the_k_fold_data_set(loss):
    """Weighted K targets of an utterance = K copies of it with one target each, losses weighted: value and gradient."""
    batch, k, steps, vocab = 2, 3, 4, 6
    shape = (batch, k, steps, vocab) if loss == "attention" else (batch, 9, vocab)
    logits = torch.randn(shape, requires_grad=True)
    targets = torch.randint(1, vocab, (batch, k, steps))
    targets[0, 1, 2:] = PADDING
    weights = torch.rand(batch, k)
    weights /= weights.sum(1, keepdim=True)
    frames = torch.tensor([9, 8])

    def total(b, h):
        one = torch.ones(1, 1)
        if loss == "attention":
            some = targets[b : b + 1, h : h + 1]
            return attention_loss(*apart(logits[b : b + 1, h : h + 1], some), some, one, 0.1)
        return ctc_loss(logits[b : b + 1], frames[b : b + 1], targets[b : b + 1, h : h + 1], one)

    one_by_one = sum(weights[b, h] * total(b, h) for b in range(batch) for h in range(k)) / batch
    together = (
        attention_loss(*apart(logits, targets), targets, weights, 0.1)
        if loss == "attention"
        else ctc_loss(logits, frames, targets, weights)
    )
    assert together.item() == pytest.approx(one_by_one.item(), rel=1e-5)
    (one,) = torch.autograd.grad(together, logits, retain_graph=True)
    (other,) = torch.autograd.grad(one_by_one, logits)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_hypothesis_of_weight_zero_is_absent():
    logits = torch.randn(1, 2, 3, 5)
    targets = torch.tensor([[[1, 2, 4], [PADDING, PADDING, PADDING]]])
    padded = attention_loss(*apart(logits, targets), targets, torch.tensor([[1.0, 0.0]]), 0.1)
    lone = attention_loss(*apart(logits[:, :1], targets[:, :1]), targets[:, :1], torch.ones(1, 1), 0.1)
    assert padded.item() == pytest.approx(lone.item())


def test_accuracy_weighs_hypotheses():
    logits = torch.nn.functional.one_hot(torch.tensor([[[1, 2], [1, 1]]]), 4).float()
    targets = torch.tensor([[[1, 2], [1, 3]]])
    share = accuracy(*apart(logits, targets), targets, torch.tensor([[0.75, 0.25]]))
    assert share.item() == pytest.approx((0.75 * 2 + 0.25) / 2)


def test_steps_that_share_a_prefix():
    """Two hypotheses, ab and ac, by hand: the prefix a is asked for b and c."""
    p = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.6, 0.3]])
    path, targets = torch.tensor([[[0, 1], [0, 1]]]), torch.tensor([[[0, 1], [0, 2]]])
    loss = attention_loss(p.log(), path, targets, torch.tensor([[0.75, 0.25]]))
    assert loss.item() == pytest.approx(-math.log(0.2) - 0.75 * math.log(0.6) - 0.25 * math.log(0.3))
    assert prefix_weights(path, torch.tensor([[0.75, 0.25]]), 2).tolist() == [1.0, 1.0]
    longer = torch.tensor([[[0, 1, PADDING], [0, 2, 3]], [[4, 5, 6], [PADDING] * 3]])
    weights = torch.tensor([[0.75, 0.25], [1.0, 0.0]])
    assert prefix_weights(longer, weights, 7).tolist() == [1.0, 0.75, 0.25, 0.25, 1.0, 1.0, 1.0]


def test_only_the_best_hypothesis():
    weights = torch.tensor([[0.2, 0.5, 0.3], [0.5, 0.5, 0.0]])
    assert best_only(weights).tolist() == [[0, 1, 0], [1, 0, 0]]
