"""Specialists: the answer of eq. 5 against a minimiser, the corrected dustbin against Bayes, groups by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from kdasr.errors import UserError
from kdasr.losses.specialists import confusable, corrected, half_special, oversampling, together, with_dustbin


def divergence(z, generalist, specialists, classes):
    """Hinton et al. 2015, eq. 5, of q = softmax(z), written out."""
    q = np.exp(z - z.max())
    q /= q.sum()
    total = sum(p * math.log(p / q[k]) for k, p in enumerate(generalist))
    for said, own in zip(specialists, classes, strict=True):
        rest = sum(q[k] for k in range(len(q)) if k not in own)
        total += sum(p * math.log(p / q[k]) for k, p in zip(own, said, strict=False))
        total += said[-1] * math.log(said[-1] / rest)
    return total


def logp(generator, rows, count):
    return torch.from_numpy(generator.normal(size=(rows, count)) * 1.5).log_softmax(-1)


@pytest.mark.parametrize("classes", [[[0, 2]], [[0, 1], [3, 4]], [[0, 1, 2], [1, 4], [3, 5]], [[5, 1, 3], [0]]])
def test_eq_5_against_a_minimiser(classes):
    generator = np.random.default_rng(len(classes))
    general = logp(generator, 6, 6)
    said = [logp(generator, 6, len(own) + 1) for own in classes]
    found = together(general, said, classes, best=2)
    assert torch.allclose(found.sum(1), torch.ones(6, dtype=torch.float64))
    for row in range(6):
        best = set(general[row].topk(2).indices.tolist())
        asked = [m for m, own in enumerate(classes) if best & set(own)]
        parts = general[row].exp().numpy(), [said[m][row].exp().numpy() for m in asked], [classes[m] for m in asked]
        lowest = min(
            (minimize(divergence, start, parts, "BFGS", tol=1e-12) for start in generator.normal(size=(3, 6))),
            key=lambda one: one.fun,
        )
        q = np.exp(lowest.x - lowest.x.max())
        np.testing.assert_allclose(found[row].numpy(), q / q.sum(), atol=2e-5)
        assert divergence(found[row].log().numpy(), *parts) <= lowest.fun + 1e-9


def test_who_is_not_asked_says_nothing():
    generator = np.random.default_rng(0)
    general = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]]).log()
    said = [logp(generator, 2, 3)]
    found = together(general, said, [[2, 3]])
    torch.testing.assert_close(found[0], general[0].double().exp())
    assert not torch.allclose(found[1], general[1].double().exp(), atol=0.01)
    torch.testing.assert_close(together(general, [], []), general.double().exp())


def test_one_specialist_by_hand():
    """Special classes: the mean of both; the rest: its mass is that of both, shared as the generalist has it."""
    general = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    said = torch.tensor([[0.6, 0.2, 0.2]]).log()
    expected = [[0.5, 0.25, 0.25 * 2 / 3, 0.25 / 3]]
    torch.testing.assert_close(together(general, [said], [[0, 1]]), torch.tensor(expected).double(), rtol=0, atol=1e-6)


def test_a_specialists_answer_that_agrees_changes_nothing():
    general = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    said = torch.tensor([[0.2, 0.4, 0.4]]).log()
    found = together(general, [said, said], [[2, 0], [2, 0]])
    torch.testing.assert_close(found, general.double().exp(), rtol=0, atol=1e-6)


def test_labels_and_batches():
    labels = torch.tensor([5, 1, 3, 1, 9, 0])
    assert with_dustbin(labels, [1, 5]).tolist() == [1, 0, 2, 0, 2, 2]
    special = torch.isin(torch.arange(1000) % 100, torch.tensor([3, 4]))
    rows = half_special(special, 200)
    assert special[rows].tolist() == [True] * 100 + [False] * 100
    assert len(rows[100:].unique()) > 80  # from all of the rest
    assert len(half_special(special, 7)) == 7 and special[half_special(special, 7)].sum() == 3
    assert oversampling(special) == pytest.approx(980 / 20)


def test_the_corrected_dustbin_is_bayes():
    """What half-special batches teach, corrected, is what natural batches teach.

    Six inputs, three classes, the first of which is special; the best logits of a table are known: the logarithms of
    the joint probabilities under which it learns.
    """
    generator = np.random.default_rng(0)
    labels = torch.from_numpy(generator.choice(3, 4000, p=[0.1, 0.3, 0.6]))
    inputs = torch.from_numpy((generator.integers(0, 6, 4000) + labels.numpy()) % 6)
    special = labels == 0
    joint = torch.zeros(6, 2, dtype=torch.float64)  # of the input and: special or not
    joint.index_put_((inputs, (~special).long()), torch.ones(4000, dtype=torch.float64), accumulate=True)
    natural = joint / joint.sum(1, keepdim=True)
    torch.manual_seed(0)
    drawn = torch.cat([half_special(special, 4000) for _ in range(100)])
    table = torch.zeros(6, 2, dtype=torch.float64)
    table.index_put_(
        (inputs[drawn], (~special[drawn]).long()), torch.ones(len(drawn), dtype=torch.float64), accumulate=True
    )
    learnt = table.log()
    assert (learnt.softmax(1) - natural).abs().max() > 0.2
    found = corrected(learnt, oversampling(special)).softmax(1)
    torch.testing.assert_close(found, natural, rtol=0, atol=0.005)


def test_confusable_classes_come_together():
    """4 with 9, 3 with 5 and 8, the others sure: three groups, whatever the seed."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 6, 3000)
    together_are = {0: [0, 3], 3: [0, 3], 1: [1, 2, 4], 2: [1, 2, 4], 4: [1, 2, 4], 5: [5]}
    probabilities = np.full((3000, 6), 0.01)
    for row, label in zip(probabilities, labels, strict=True):
        row[together_are[label]] += generator.dirichlet([1] * len(together_are[label]))
    probabilities /= probabilities.sum(1, keepdims=True)
    for seed in range(3):
        assert confusable(probabilities, 3, seed) == [[0, 3], [1, 2, 4], [5]]
    assert confusable(probabilities, 6) == [[0], [1], [2], [3], [4], [5]]
    assert confusable(probabilities, 1) == [[0, 1, 2, 3, 4, 5]]
    with pytest.raises(UserError, match="7 groups of 6 classes: expected 1 to 6"):
        confusable(probabilities, 7)
    with pytest.raises(UserError, match="fewer than 3 groups"):
        confusable(np.full((10, 4), 0.25), 3)


def partitions(items, groups):
    """All ways to put items into so many groups, none of them empty."""
    if len(items) == groups:
        yield [[item] for item in items]
    elif groups and items:
        first, *rest = items
        for part in partitions(rest, groups):
            for place in range(groups):
                yield [[first, *group] if number == place else group for number, group in enumerate(part)]
        for part in partitions(rest, groups - 1):
            yield [[first], *part]


def test_groups_are_the_best_of_all_partitions():
    """Of seven classes in three groups all 301 partitions are looked at: none is narrower than what was found."""
    assert len(list(partitions(list(range(7)), 3))) == 301
    for seed in range(8):
        generator = np.random.default_rng(seed)
        probabilities = generator.dirichlet([0.3] * 7, 60)
        columns = np.cov(probabilities, rowvar=False)

        def spread(groups, columns=columns):
            return sum(float(((columns[one] - columns[one].mean(0)) ** 2).sum()) for one in groups)

        found = confusable(probabilities, 3, seed)
        assert sorted(one for group in found for one in group) == list(range(7)) and found == sorted(map(sorted, found))
        assert spread(found) == pytest.approx(min(map(spread, partitions(list(range(7)), 3))), rel=1e-9)


def test_labels_without_some_of_the_classes():
    assert with_dustbin(torch.tensor([0, 1]), [1, 5]).tolist() == [2, 0]
    assert with_dustbin(torch.tensor([3, 2]), [0]).tolist() == [1, 1]


def test_every_row_may_be_drawn():
    special = torch.tensor([True, False, False, True, False])
    drawn = half_special(special, 400)
    assert drawn[:200].unique().tolist() == [0, 3] and drawn[200:].unique().tolist() == [1, 2, 4]
    alone = half_special(torch.tensor([False, True]), 3)
    assert alone.tolist() == [1, 0, 0]
    assert half_special(special, 1).tolist()[0] in (1, 2, 4)  # of an odd number the rest has one more


def test_more_best_classes_than_there_are_ask_all():
    generator = np.random.default_rng(3)
    general, said = logp(generator, 4, 5), [logp(generator, 4, 3), logp(generator, 4, 2)]
    every = together(general, said, [[0, 1], [4]], best=5)
    torch.testing.assert_close(together(general, said, [[0, 1], [4]], best=9), every)
    torch.testing.assert_close(together(general, said, [[0, 1], [4]]), together(general, said, [[0, 1], [4]], best=1))
    assert every.dtype == torch.double
