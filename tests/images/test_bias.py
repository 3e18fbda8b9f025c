"""Bias corrections against trying every offset, and by hand."""

import numpy as np
import pytest

from kdasr.images.bias import best_offset, crossed, on_all, wrong_with


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
    assert best_offset(logits, np.array([0, 0, 0]), [3]) == 0.0  # nothing to mend: left as it is
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
