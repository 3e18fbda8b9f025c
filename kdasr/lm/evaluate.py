"""The perplexities of texts, by a model, by an ensemble, or by dynamic evaluation (kdasr.lm.dynamic), in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import write_json
from kdasr.lm.dynamic import dynamic_perplexity
from kdasr.lm.model import load_all
from kdasr.lm.perplexity import perplexity
from kdasr.lm.text import load_vocabulary, read_stream


@dataclass(frozen=True)
class Dynamic:
    """A model goes on learning from the text that it is tested on."""

    train: str  # the model's training text, for the size of its gradients
    rate: float = 0.002  # learning rate
    decay: float = 0.075  # back to the trained weights


def evaluate(
    directories: Sequence[str],
    texts: Sequence[str],
    out: str | Path | None = None,
    dynamic: Dynamic | None = None,
    device: str = "cpu",
) -> None:
    """Compute the perplexity of each text, print it, and write it into a file if there is `out`.

    Args:
        directories: of language models; several are averaged.
        texts: files, a sentence a line.
        out: directory for TEXT.json (of dynamic evaluation: TEXT_dynamic.json) of each text.
        dynamic: evaluate in this way; None: the model does not change.
        device: "cpu", "cuda:0".

    Raises:
        UserError: a model or text is missing, or options that cannot be.
    """
    if dynamic and len(directories) > 1:
        raise UserError("--dynamic: works on one model; name one in --model")
    if dynamic and (dynamic.rate <= 0 or dynamic.decay < 0):
        raise UserError("--dynamic_rate, --dynamic_decay: expected a number above 0, and 0 or more")
    models, _ = load_all(directories, device)
    vocabulary = load_vocabulary(Path(directories[0]) / "tokens")
    streams = {path: read_stream(path, vocabulary) for path in texts}
    train = read_stream(dynamic.train, vocabulary) if dynamic else None
    for path, text in streams.items():
        if dynamic and train:
            found = dynamic_perplexity(models[0], text.ids, train.ids, dynamic.rate, dynamic.decay)
        else:
            found = perplexity(models, text.ids)
        if out:
            result = {"ppl": found.ppl, "tokens": found.tokens, "nll": found.nll, "unknown": text.unknown}
            name = Path(path).name.removesuffix(".txt") + ("_dynamic" if dynamic else "")
            write_json(Path(out) / f"{name}.json", result | {"models": list(directories), "text": path})
        print(f"{path}: perplexity {found.ppl:.4f} over {found.tokens:,} tokens, {text.unknown:,} of them unknown")
