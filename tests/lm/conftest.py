"""The corpus of the tests of language models."""

import numpy as np
import pytest
from lm_world import lm_train

from kdasr.cli import main


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Texts of a small grammar, a vocabulary, and two teachers."""
    root = tmp_path_factory.mktemp("lm")
    generator = np.random.default_rng(0)
    for name, lines in (("train", 60), ("valid", 12)):
        text = ""
        for _ in range(lines):
            animal = generator.choice(["cat", "dog", "cow"])
            text += f"the {animal} {'sat' if animal == 'cat' else 'ran'} {generator.choice(['here', 'there'])}\n"
        (root / f"{name}.txt").write_text(text)
    assert main(["lm", "words", "--text", str(root / "train.txt"), "--out", str(root / "words")]) == 0
    for seed in ("1", "2"):
        assert lm_train(root, root / f"teacher{seed}", "--seed", seed) == 0
    return root
