"""Store the teachers' distributions at each token of a training text for students.

The teachers read the text as one stream. For each token they keep the J most probable words with their
log-probabilities, or J words drawn from it, whose mean is the whole distribution in expectation (random sampling
knowledge distillation; the most probable words alone are not unbiased). The probability of the text's own token, and
whether it is the best one, are kept, too: trust regularization needs them exactly.

    ids.npy (tokens, J) uint16 or int32   logq.npy (tokens, J) float16, not for draws
    gold.npy (tokens,) float32 log Q of the text's token   best.npy (tokens,) bool   soft.json, written last
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from kdasr.arrays import read_npy
from kdasr.checkpoints import checksums, compare
from kdasr.errors import UserError
from kdasr.files import atomic_dir, only_writer, read_json, write_json
from kdasr.lm.files import model_name, named
from kdasr.lm.model import load_all
from kdasr.lm.piece import OnlineTeachers, slices
from kdasr.lm.text import load_vocabulary, read_stream, streams
from kdasr.shards import digest

STEPS = 70  # words of a piece


def store_targets(
    teachers: Sequence[str],
    text: str | Path,
    directory: str | Path,
    kept: int = 20,
    draws: int | None = None,
    device: str = "cpu",
) -> None:
    """Store the targets, unless they are there.

    Args:
        teachers: directories of language models; several are averaged.
        text: the student's training text.
        directory: to write.
        kept: words of each distribution, J; 0: all.
        draws: seed of words drawn from the distribution; None: the most probable words.
        device: "cpu", "cuda:0".

    Raises:
        UserError: a teacher or the text is missing, J is out of range, or the directory holds other targets.
    """
    out = Path(directory)
    made: dict[str, Any] = {
        "teachers": [model_name(one) for one in teachers],
        "text": named(text, "give the student's training text"),
        "kept": kept,
        "draws": draws,
    }
    with only_writer(out.parent, name=f".{out.name}.lock"):
        if (out / "soft.json").exists():
            there = read_json(out / "soft.json")
            if any(there.get(key) != value for key, value in made.items()):
                raise UserError(f"{out}: holds other targets; remove it, or name another directory")
            print(f"{out}: targets of {there['tokens']:,} tokens are there already")
            return
        models, words = load_all(teachers, device, "--teachers")
        if not 0 <= kept <= len(words) or (draws is not None and not kept):
            least = 0 if draws is None else 1
            raise UserError(f"--kept {kept}: expected {least} to {len(words)}, the words of the vocabulary")
        kept = kept or len(words)
        stream = read_stream(text, load_vocabulary(Path(teachers[0]) / "tokens"))
        print(storage(len(stream), kept, len(words), draws is not None), flush=True)
        with atomic_dir(out) as fresh:
            store(models, stream.ids, kept, draws, fresh)
            sums = checksums(fresh, ["*.npy"])
            write_json(fresh / "soft.json", made | {"tokens": len(stream), "vocabulary": len(words), "sha256": sums})
    print(f"{out}: targets of {len(stream):,} tokens")


def storage(tokens: int, kept: int, vocabulary: int, draws: bool) -> str:
    """A sentence about the space that targets take."""
    width = 2 if vocabulary <= 1 << 16 else 4
    each = kept * (width + (0 if draws else 2)) + 5
    values = "" if draws else f", {kept} x 2 for their probabilities"
    parts = f"{kept} x {width} for words{values}, 5 for the text's"
    return (
        f"storing {each} bytes a token ({parts}), {tokens * each / 1e6:,.1f} MB for {tokens:,} tokens; "
        f"all {vocabulary:,} probabilities would take {tokens * 2 * vocabulary / 1e9:,.1f} GB"
    )


def store(models: list[Any], ids: np.ndarray, kept: int, seed: int | None, directory: Path) -> None:
    """Write the arrays for a stream (tokens,); `seed` of the draws, None for the most probable words."""
    vocabulary = models[0].embed.num_embeddings
    open_memmap = np.lib.format.open_memmap
    kind = np.uint16 if vocabulary <= 1 << 16 else np.int32
    arrays = {"ids": open_memmap(directory / "ids.npy", "w+", kind, (len(ids), kept))}
    if seed is None:
        arrays["logq"] = open_memmap(directory / "logq.npy", "w+", np.float16, (len(ids), kept))
    arrays["gold"] = open_memmap(directory / "gold.npy", "w+", np.float32, (len(ids),))
    arrays["best"] = open_memmap(directory / "best.npy", "w+", np.bool_, (len(ids),))
    device = models[0].out.bias.device
    generator = torch.Generator(device).manual_seed(seed or 0)
    reader = OnlineTeachers(models)
    reader.restart(1)
    words, target = (torch.from_numpy(side).to(device) for side in streams(ids, 1, vocabulary - 1))  # (1, tokens)
    wide = max(models, key=lambda model: model.experts)
    for first in tqdm(range(0, len(ids), STEPS), unit="pieces", disable=None):
        piece, gold = words[:, first : first + STEPS], target[0, first : first + STEPS]
        reader.read(piece)
        for start, stop in slices(wide, len(gold)):
            _, logq, sure, best = reader.rows(start, stop, gold[start:stop])
            where = slice(first + start, first + stop)
            if seed is None:
                values, chosen = logq.topk(kept, dim=-1)  # (n, J)
                arrays["logq"][where] = values.cpu().numpy()
            else:
                chosen = torch.multinomial(logq.exp(), kept, replacement=True, generator=generator)  # (n, J)
            arrays["ids"][where] = chosen.cpu().numpy()
            arrays["gold"][where], arrays["best"][where] = sure.cpu().numpy(), best.cpu().numpy()
    for array in arrays.values():
        array.flush()


class StoredTeacher:
    """Stored targets as kdasr.lm.piece.Teacher."""

    def __init__(self, directory: str | Path, text: str | Path, words: list[str], device: torch.device) -> None:
        """Open the targets of a text.

        Raises:
            UserError: they are not there, or are of another text or vocabulary.
        """
        path = Path(directory)
        if not (path / "soft.json").exists():
            raise UserError(f"{directory}: holds no stored targets; make them with kdasr lm soft --out {directory}")
        about = read_json(path / "soft.json")
        if not {"text", "vocabulary", "draws"} <= about.keys():
            raise UserError(f"{path}/soft.json: is no record of stored targets; store them again (kdasr lm soft)")
        if about["text"] != digest(text):
            raise UserError(f"{directory}: holds targets of another text than {text}; store them for that one")
        if about["vocabulary"] != len(words):
            raise UserError(
                f"{directory}: holds targets over {about['vocabulary']} words, but the student has {len(words)}; "
                "train it with the teachers' vocabulary"
            )
        remedy = f"remove {directory} and store them again (kdasr lm soft)"
        compare(path, about.get("sha256"), remedy)
        names = ["ids", "gold", "best", *([] if about["draws"] is not None else ["logq"])]
        self.arrays = {name: read_npy(path / f"{name}.npy", remedy, mapped=True) for name in names}
        self.device = device
        self.where = np.empty(0, dtype=np.int64)  # (N,) positions in the text of the piece that was read last

    def read(self, words: Tensor, position: int, length: int) -> None:
        """Go to the piece (B, T) that begins at `position` of B streams of `length` tokens."""
        streams, steps = words.shape
        self.where = (np.arange(streams)[:, None] * length + position + np.arange(steps)).reshape(-1)

    def rows(self, start: int, stop: int, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As kdasr.lm.piece.Teacher: J kept words."""
        where = self.where[start:stop]
        ids = torch.from_numpy(self.arrays["ids"][where].astype(np.int64)).to(self.device)
        gold, best = (torch.from_numpy(self.arrays[name][where]).to(self.device) for name in ("gold", "best"))
        if "logq" not in self.arrays:
            return ids, torch.zeros(ids.shape, device=self.device), gold, best
        return ids, torch.from_numpy(self.arrays["logq"][where].astype(np.float32)).to(self.device), gold, best
