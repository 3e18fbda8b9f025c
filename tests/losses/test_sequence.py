"""The sequence losses against hand computation, ESPnet's own losses, and the plain K-fold data set."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

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


@st.composite
def trees(draw):
    """Log-probabilities (N, V), paths, targets and weights: steps share prefixes, some hypotheses are not there."""
    batch, hyps, steps = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    vocabulary, nodes = draw(st.integers(2, 5)), draw(st.integers(1, 6))
    torch.manual_seed(draw(st.integers(0, 99)))
    lens = torch.tensor(draw(st.lists(st.integers(0, steps), min_size=batch * hyps, max_size=batch * hyps)))
    behind = torch.arange(steps) >= lens.view(batch, hyps, 1)
    targets = torch.randint(0, vocabulary, (batch, hyps, steps)).masked_fill(behind, PADDING)
    path = torch.randint(0, nodes, (batch, hyps, steps)).masked_fill(behind, PADDING)
    counts = torch.randint(0, 4, (batch, hyps)).double()
    counts[:, 0] += 1
    absent = torch.rand(batch, hyps) < 0.2  # no step of it is asked for, though it has targets
    path = path.masked_fill(absent[..., None], PADDING)
    logp = torch.randn(nodes, vocabulary, dtype=torch.double).log_softmax(-1)
    return logp, path, targets, counts / counts.sum(1, keepdim=True)


@examples(150)
@given(trees(), st.sampled_from([0.0, 0.1, 0.5]))
def test_losses_of_trees_are_written_out(tree, smoothing):
    """Utterance by utterance, hypothesis by hypothesis, step by step, target by target."""
    logp, path, targets, weights = tree
    total = right = counted = 0.0
    of_prefix = [0.0] * len(logp)
    others = logp.size(1) - 1
    for b, row in enumerate(path.tolist()):
        for k, nodes in enumerate(row):
            weight = weights[b, k].item()
            for step, node in enumerate(nodes):
                if node == PADDING:
                    continue
                target = targets[b, k, step].item()
                for token in range(logp.size(1)):
                    share = 1 - smoothing if token == target else smoothing / others
                    if share:
                        total += weight * share * (math.log(share) - logp[node, token].item())
                counted += weight
                right += weight * (logp[node].argmax().item() == target)
                of_prefix[node] += weight
    found = attention_loss(logp, path, targets, weights, smoothing)
    assert found.item() == pytest.approx(total / len(path), abs=1e-9)
    assert prefix_weights(path, weights, len(logp)).tolist() == pytest.approx(of_prefix)
    if counted:
        assert accuracy(logp, path, targets, weights).item() == pytest.approx(right / counted)


@examples(150)
@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.lists(st.tuples(st.lists(st.integers(1, 3), max_size=3), st.integers(0, 3)))),
        min_size=1,
        max_size=4,
    )
)
def test_ctc_of_a_batch_is_the_mean_of_its_hypotheses(batch):
    """Each hypothesis alone with the frames of its own utterance, by torch; hypotheses of weight zero count nothing."""
    hyps = max(len(one) for _, one in batch) + 1
    longest = max((len(tokens) for _, one in batch for tokens, _ in one), default=0)
    targets = torch.full((len(batch), hyps, max(longest, 1)), PADDING)
    weights = torch.zeros(len(batch), hyps)
    frames = torch.tensor([count for count, _ in batch])
    logits = torch.randn(len(batch), int(frames.max()), 4)
    expected = 0.0
    for b, (count, one) in enumerate(batch):
        named = [([1], 1), *one]
        for k, (tokens, mass) in enumerate(named):
            targets[b, k, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            weights[b, k] = mass / sum(mass for _, mass in named)
            alone = torch.nn.functional.ctc_loss(
                logits[b, :count].log_softmax(-1), torch.tensor(tokens, dtype=torch.long), [count], [len(tokens)],
                reduction="none",
            )  # fmt: skip
            if torch.isfinite(alone) and mass:
                expected += weights[b, k].item() * alone.item() / len(batch)
    assert ctc_loss(logits, frames, targets, weights).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert torch.equal(best_only(weights).argmax(1), weights.argmax(1))
    assert torch.equal(best_only(weights).sum(1), torch.ones(len(batch)))
