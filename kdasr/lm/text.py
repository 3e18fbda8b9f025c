"""Running text for language models: a vocabulary of words, and lines as one stream of ids.

A vocabulary directory is a token directory (kdasr.data.tokens) of type word: tokens.txt with <blank>, <unk>,
<rnn_unk>, the words by count, <sos/eos>. A word that is in the vocabulary of the recogniser but too rare for the
network is <rnn_unk> (Shi et al. 2019, section 4); rare.txt has these words with their counts, by which the
probability of <rnn_unk> is shared out among them. Any other word is <unk>.

A stream holds the ids of all lines, each ended by <sos/eos>, as in the field's experiments on Penn Treebank.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kdasr.checkpoints import checksums, compare
from kdasr.data.tokens import BLANK, SOS_EOS, UNK, Tokens, load_tokens, refuse_other_things
from kdasr.errors import UserError
from kdasr.files import atomic_dir, columns, only_writer, read_json, read_lines, split_key, write_json
from kdasr.shards import digest

RARE = "<rnn_unk>"
MOST_UNKNOWN = 0.2  # share of unknown words above which a text and a vocabulary are refused as not belonging together


@dataclass(frozen=True)
class Words:
    """A vocabulary of words, and the way from a line to its ids."""

    list: list[str]  # id -> word; <blank> is 0, <sos/eos> the last
    rare: dict[str, int] = field(default_factory=dict)  # word of the class <rnn_unk> -> count

    def __len__(self) -> int:
        return len(self.list)

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Word -> id, those of the class <rnn_unk> among them."""
        found = {word: number for number, word in enumerate(self.list)}
        return found | {word: found[RARE] for word in self.rare}

    def encode(self, text: str) -> list[int]:
        """The ids of a line's words; a word that is not in the list is <unk>."""
        ids, unknown = self.ids, self.ids[UNK]
        return [ids.get(word, unknown) for word in columns(text)]

    @functools.cached_property
    def log_share(self) -> dict[str, float]:
        """The logarithm of a rare word's share of its class: its count over the class's."""
        total = sum(self.rare.values())
        return {word: float(np.log(count / total)) for word, count in self.rare.items()}


Vocabulary = Words | Tokens


def make_vocabulary(texts: Sequence[str], directory: str | Path, size: int = 0, min_count: int = 1) -> None:
    """Make a vocabulary directory, unless it is there.

    Args:
        texts, size, min_count: as `build` takes them.
        directory: to write.

    Raises:
        UserError: as `build`; a number out of range; the directory holds other things, or was made from another text.
    """
    if size < 0 or min_count < 1:
        raise UserError(f"--size {size} --min_count {min_count}: expected 0 or more, and 1 or more")
    out = Path(directory)
    refuse_other_things(out)
    for path in texts:
        read_lines(path)  # says so if it is absent or not UTF-8
    made_from = {"text": [digest(path) for path in texts], "size": size, "min_count": min_count}
    with only_writer(out.parent, name=f".{out.name}.lock", wait=60):
        if (out / "tokens.json").exists():
            if read_json(out / "tokens.json").get("made_from") != made_from:
                raise UserError(f"{out}: was made from another text or with other options; remove it, or name another")
            print(f"{out}: {len(load_vocabulary(out))} words are there already")
            return
        words = build(texts, size, min_count)
        with atomic_dir(out) as fresh:
            (fresh / "tokens.txt").write_text("".join(f"{word}\n" for word in words.list), encoding="utf-8")
            rare = "".join(f"{word} {count}\n" for word, count in words.rare.items())
            (fresh / "rare.txt").write_text(rare, encoding="utf-8")
            record = {"type": "word", "size": len(words), "made_from": made_from, "sha256": checksums(fresh, ["*.txt"])}
            write_json(fresh / "tokens.json", record)
    print(f"{out}: {len(words)} words, {len(words.rare)} rare ones in the class {RARE}")


def build(texts: Sequence[str | Path], size: int = 0, min_count: int = 1) -> Words:
    """Make the vocabulary of some texts.

    Args:
        texts: files, a sentence a line.
        size: the most frequent words to keep; 0: all. The others are <unk>.
        min_count: kept words that occur less often are of the class <rnn_unk>.

    Raises:
        UserError: bytes that are not UTF-8, an empty line, or a word that is reserved, by file and line.
    """
    counts: Counter[str] = Counter()
    for path in texts:
        for words in sentences(path):
            counts.update(words)
    for word in (BLANK, RARE, SOS_EOS):
        if word in counts:
            raise UserError(
                f"{_place_of(word, texts)}: holds the word {word}, which is reserved; write it in another way"
            )
    del counts[UNK]  # Penn Treebank's texts have it; it is in every list
    kept = sorted(counts.items(), key=lambda row: (-row[1], row[0].encode()))[: size or None]
    frequent = [word for word, count in kept if count >= min_count]
    rare = {word: count for word, count in kept if count < min_count}
    return Words([BLANK, UNK, *([RARE] if rare else []), *frequent, SOS_EOS], rare)


def _place_of(word: str, texts: Sequence[str | Path]) -> str:
    """File and line of a word's first occurrence."""
    lines = ((path, number, words) for path in texts for number, words in enumerate(sentences(path), 1))
    return next(f"{path}:{number}" for path, number, words in lines if word in words)


def load_vocabulary(directory: str | Path) -> Vocabulary:
    """Read a token directory of words, characters or sentencepiece.

    Raises:
        UserError: a file is missing, or tokens.txt is no token list.
    """
    directory = Path(directory)
    record = read_json(directory / "tokens.json")
    if record.get("type") != "word":
        return load_tokens(directory)
    path = directory / "tokens.txt"
    words = read_lines(path)
    if words[:2] != [BLANK, UNK] or words[-1:] != [SOS_EOS] or len(set(words)) < len(words):
        raise UserError(f"{path}: expected {BLANK} and {UNK} first, {SOS_EOS} last and each word once; make it anew")
    rare = {}
    for number, line in enumerate(read_lines(directory / "rare.txt"), 1):
        word, count = split_key(line)
        if not re.fullmatch("0*[1-9][0-9]{0,17}", count) or RARE not in words:
            raise UserError(f"{directory}/rare.txt:{number}: expected 'WORD COUNT', found {line!r}; make it anew")
        rare[word] = int(count)
    compare(directory, record.get("sha256"), "copy it again, or make it anew (kdasr lm words)")
    return Words(words, rare)


def sentences(path: str | Path) -> Iterable[list[str]]:
    """The words of each line.

    Raises:
        UserError: absent, no line, bytes that are not UTF-8, or an empty line; by its number.
    """
    lines = read_lines(path)
    if not lines:
        raise UserError(f"{path}: is empty, expected a sentence a line; give another text")
    for number, line in enumerate(lines, 1):
        words = columns(line)
        if not words:
            raise UserError(f"{path}:{number}: an empty line, expected a sentence; remove it")
        yield words


@dataclass(frozen=True)
class Text:
    """A text as ids."""

    ids: np.ndarray  # (tokens,) int32, <sos/eos> after each line
    unknown: int  # of the tokens, how many are <unk>

    def __len__(self) -> int:
        return len(self.ids)


def read_stream(path: str | Path, vocabulary: Vocabulary, most_unknown: float = MOST_UNKNOWN) -> Text:
    """Read a text as one stream.

    Raises:
        UserError: as `sentences`; or more than `most_unknown` of the tokens are not in the vocabulary: the first such
            line is named.
    """
    unknown, end = vocabulary.ids[UNK], len(vocabulary) - 1
    ids: list[int] = []
    lacking, first = 0, ""
    for number, words in enumerate(sentences(path), 1):
        line = vocabulary.encode(" ".join(words))
        if unknown in line:
            missed = line.count(unknown) - words.count(UNK)  # words that the text itself marks as unknown do not count
            lacking += missed
            if missed and not first and isinstance(vocabulary, Words):
                word = next(word for word in words if word != UNK and vocabulary.ids.get(word, unknown) == unknown)
                first = f":{number}: {word} is not among the {len(vocabulary)} words of the vocabulary"
            elif missed and not first:
                first = f":{number}: has tokens that are not among the {len(vocabulary)} of the model"
        ids += [*line, end]
    if lacking > most_unknown * len(ids):
        raise UserError(
            f"{path}{first}, as {100 * lacking / len(ids):.1f} % of the text are not; "
            "make the vocabulary from the training text (kdasr lm words)"
        )
    stream = np.array(ids, dtype=np.int32)
    return Text(stream, int((stream == unknown).sum()))


def streams(ids: np.ndarray, count: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Every token with the one before it, cut into streams, the last ones filled up: words and targets (B, L) int64.

    Args:
        ids: (tokens,).
        count: B, or less if there are fewer tokens.
        end: the id before the first token, and of padding, whose targets are -1.
    """
    length = -(-len(ids) // count)
    count = -(-len(ids) // length)
    words = np.full(count * length, end, dtype=np.int64)
    target = np.full(count * length, -1, dtype=np.int64)
    words[1 : len(ids)], target[: len(ids)] = ids[:-1], ids
    return words.reshape(count, length), target.reshape(count, length)
