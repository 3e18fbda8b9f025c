"""Bias corrections against trying every offset, and by hand."""

import itertools

import numpy as np
import pytest
from bias import best_offset, crossed, on_all, wrong_with
from hypothesis import given
from hypothesis import strategies as st
from properties import examples


def errors(logits, labels, classes, offset):
    """Image by image."""
    count = 0
    for row, label in zip(logits, labels, strict=True):
        changed = [value + offset * (number in classes) for number, value in enumerate(row)]
        count += int(np.argmax(changed)) != label
    return count


@pytest.mark.parametrize("classes", [[3], [1, 2], [0, 1, 3]])
@pytest.mark.parametrize("seed", range(5))
def test_no_offset_is_better(classes, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, 40)
    logits = generator.normal(size=(40, 4)) + 1.5 * np.eye(4)[labels]
    logits[:, classes] += generator.normal() * 4
    offset = best_offset(logits, labels, classes)
    found = errors(logits, labels, classes, offset)
    assert found == wrong_with(logits, labels, classes, offset).sum()
    # an image's answer changes where one logit of the classes meets one of the others: try between all such offsets
    others = [number for number in range(4) if number not in classes]
    meet = np.sort([row[other] - row[own] for row in logits for own in classes for other in others])
    tried = [meet[0] - 1, *(meet[1:] + meet[:-1]) / 2, meet[-1] + 1]
    assert found == min(errors(logits, labels, classes, offset) for offset in tried)


def test_by_hand():
    """Two 3s whose bias is 2 and 4 too low, a 5 that a raise by more than 7 would lose: any number from 4 to 7."""
    logits, labels = np.array([[0, 0, 0, -2.0], [1, 0, 0, -3.0], [5, 0, 0, -2.0]]), np.array([3, 3, 0])
    assert best_offset(logits, labels, [3]) == pytest.approx(5.5)
    assert on_all(logits, labels, [3]).errors == 0
    assert best_offset(logits, np.array([0, 0, 0]), [3]) == 0.0  # nothing to correct: left as it is
    assert best_offset(logits, np.array([3, 3, 3]), [3]) > 7  # every answer a 3


def test_a_known_bias_is_found_and_a_half_is_judged_by_the_other():
    """Both halves of many images find the bias that was taken away, nearly; the errors come near the best ones."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, 6000)
    logits = generator.normal(size=(6000, 10)) + 6 * np.eye(10)[labels]
    before = int((logits.argmax(1) != labels).sum())
    logits[:, [7, 8]] -= 4
    best, fair = on_all(logits, labels, [7, 8]), crossed(logits, labels, [7, 8])
    assert best.errors <= before and best.errors <= fair.errors <= before + 25
    assert len(fair.offsets) == 2 and all(offset == pytest.approx(4, abs=1.2) for offset in fair.offsets)


def test_halves_do_not_see_themselves():
    """With labels of no kind at all, numbers chosen on the images themselves look better than they are."""
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(30, 3)), generator.integers(0, 3, 30)
    assert on_all(logits, labels, [0]).errors < crossed(logits, labels, [0]).errors


@examples(300)
@given(st.integers(1, 8), st.sampled_from([[0], [1, 2], [0, 2]]), st.integers(0, 10**6), st.integers(-3, 3))
def test_of_the_best_offsets_that_of_the_rule_is_taken(images, classes, seed, low):
    """Margins are whole numbers, many of them equal: zero, or the middle of the best interval nearest to it."""
    generator = np.random.default_rng(seed)
    labels, logits = generator.integers(0, 3, images), generator.integers(-3, 4, (images, 3)).astype(float)
    logits[:, classes] += low
    before = logits.copy()
    others = [number for number in range(3) if number not in classes]
    margins = sorted(set(logits[:, others].max(1) - logits[:, classes].max(1)))
    ends = [-np.inf, *margins, np.inf]
    found = []  # of each interval: errors, whether zero is out of it, how near it is, its offset
    for first, last in itertools.pairwise(ends):
        inside = last - 1 if first == -np.inf else first + 1 if last == np.inf else (first + last) / 2
        near = min(abs(first), abs(last))
        found.append((errors(logits, labels, classes, inside), not first < 0 < last, near, inside))
    best = min(found)
    nearest = {0.0} if not best[1] else {one[3] for one in found if one[:3] == best[:3]}
    offset = best_offset(logits, labels, classes)
    assert offset in nearest
    assert (logits == before).all()
    assert wrong_with(logits, labels, classes, offset).sum() == best[0] and (logits == before).all()


def test_each_half_has_the_other_halfs_number():
    """Seven images: four and three, drawn by the seed."""
    generator = np.random.default_rng(3)
    logits, labels = generator.normal(size=(7, 3)), generator.integers(0, 3, 7)
    drawn = set()
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(7)
        halves = [order[:4], order[4:]]
        offsets = tuple(best_offset(logits[half], labels[half], [1]) for half in halves)
        found = crossed(logits, labels, [1], seed)
        assert found.offsets == offsets
        for half, offset in zip(halves, offsets[::-1], strict=True):
            assert (found.wrong[half] == wrong_with(logits[half], labels[half], [1], offset)).all()
        assert found.errors == found.wrong.sum()
        drawn.add(offsets)
    assert len(drawn) > 1
