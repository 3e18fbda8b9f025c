"""The transcripts of data directories as texts for language models, a sentence a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kdasr.data.texts import write_texts
from kdasr.errors import UserError
from kdasr.files import read_table


def write_sentences(
    train: str | Path, only: str | Path | None, valid: str | Path, test: Sequence[str | Path], out: str | Path
) -> None:
    """Write the three texts, and print their sizes.

    Args:
        train: transcripts (Kaldi's form) of the training text.
        only: those of its utterances alone are taken that are in these transcripts, too; None for all.
        valid: transcripts of the validation text.
        test: transcripts of the test text.
        out: directory for train.txt, valid.txt, test.txt.

    Raises:
        UserError: a text would have no words.
    """
    training = read_table(train, empty=True)
    if only:
        kept = read_table(only, empty=True)
        training = {key: text for key, text in training.items() if key in kept}
    parts = {
        "train": list(training.values()),
        "valid": list(read_table(valid, empty=True).values()),
        "test": [text for path in test for text in read_table(path, empty=True).values()],
    }
    texts = {name: [text for text in found if text] for name, found in parts.items()}
    for name, source in (("train", train), ("valid", valid), ("test", test[0])):
        if not texts[name]:
            among = f" among the utterances of {only}" if name == "train" and only else ""
            raise UserError(f"{source}: has no words{among}; name transcripts that have some with --{name}")
    print(write_texts(out, texts))
