"""The tokens of a recogniser, characters, sentencepiece or words; their directory, read.

A token directory holds tokens.txt (one a line: <blank>, <unk>, ..., <sos/eos>), nlsyms.txt (words such as
<NOISE> that are one token), bpe.model for sentencepiece, and tokens.json (the type, and what it was made
from). The list is the one that ESPnet's recipes make, and the encoding that of ESPnet's tokenizers, so that
its preprocessor sees the same tokens (tests/data/test_tokens.py holds them against each other).
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr.checkpoints import compare
from kdasr.data.kaldi_dir import refuse_nameless
from kdasr.errors import UserError
from kdasr.files import BLANKS, columns, read_json, read_lines
from kdasr.models import beside, read_config
from kdasr.s2t import BLANK, SOS_EOS, UNK, tokens_of

SPACE = "<space>"
NLSYM = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class Tokens:
    """A token list, and the way from text to its ids and back."""

    type: str  # char, bpe, unigram, word
    list: list[str]  # id -> token; <blank> is 0, <sos/eos> the last
    nlsyms: list[str]  # words that are one token
    model: bytes = b""  # sentencepiece's

    def __len__(self) -> int:
        return len(self.list)

    @property
    def in_pieces(self) -> bool:
        """Whether they are sentencepiece's."""
        return self.type not in ("char", "word")

    @property
    def space(self) -> str:
        """The token of a character list for the blank between words."""
        return SPACE

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Token -> id."""
        return {token: number for number, token in enumerate(self.list)}

    @functools.cached_property
    def _pieces(self) -> Any:
        return processor(self.model, "bpe.model")

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join([*map(re.escape, self.nlsyms), "."]), re.DOTALL)

    def split(self, text: str) -> list[str]:
        """The tokens of a text, the unknown among them as they are."""
        if self.type == "word":
            return text.split()
        if self.in_pieces:
            return self._pieces.encode(text, out_type=str)
        return [SPACE if token == " " else token for token in self._pattern.findall(text)]

    def normalised(self, text: str) -> str:
        """A text as its tokens spell it: sentencepiece normalises it (NFKC) before it cuts it, as in ESPnet.

        The result has one blank between words.
        """
        if self.in_pieces and not text.isascii():  # none of ASCII's characters has another form
            text = self.join(self.split(text))
        return " ".join(columns(text))

    def join(self, tokens: Iterable[str]) -> str:
        """The text of tokens."""
        if self.type == "word":
            return " ".join(tokens)
        if self.in_pieces:
            return self._pieces.decode_pieces(list(tokens))
        return "".join(" " if token == SPACE else token for token in tokens)

    def encode(self, text: str) -> list[int]:
        """The ids of a text; a token that is not in the list becomes <unk>."""
        unknown = self.ids[UNK]
        return [self.ids.get(token, unknown) for token in self.split(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, <blank> and <sos/eos> left out, as ESPnet's inference does.

        Raises:
            UserError: an id that the list does not have.
        """
        last = len(self.list) - 1
        ids = [int(number) for number in ids]
        wrong = next((number for number in ids if not 0 <= number <= last), None)
        if wrong is not None:
            raise UserError(
                f"token {wrong}: the list has 0 to {last} only; use the token directory of the model that made it"
            )
        return self.join(self.list[number] for number in ids if number not in (0, last))


def load_tokens(directory: str | Path) -> Tokens:
    """Read a token directory.

    Raises:
        UserError: a file is missing, tokens.txt is no ESPnet token list, or bpe.model is damaged.
    """
    directory = Path(directory)
    made = read_json(directory / "tokens.json")
    kind = made.get("type")
    path = directory / "tokens.txt"
    tokens = read_lines(path)
    if not tokens or tokens[0] != BLANK or tokens[-1] != SOS_EOS or UNK not in tokens:
        raise UserError(f"{path}: expected {BLANK} first, {SOS_EOS} last and {UNK} between; make it with kdasr tokens")
    if len(set(tokens)) < len(tokens):
        token, times = Counter(tokens).most_common(1)[0]
        raise UserError(f"{path}: {token} stands there {times} times; make the list again with kdasr tokens")
    nlsyms = [line for line in read_lines(directory / "nlsyms.txt") if line]
    compare(directory, made.get("sha256"), "copy it again, or run kdasr tokens again")
    if kind in ("char", "word"):
        return Tokens(kind, tokens, nlsyms)
    if kind not in ("bpe", "unigram") or not (directory / "bpe.model").exists():
        raise UserError(
            f"{directory}: expected type char in tokens.json, word, or bpe or unigram and bpe.model; run kdasr tokens "
            "again"
        )
    return Tokens(kind, tokens, nlsyms, read_pieces(directory / "bpe.model"))


def read_pieces(path: Path) -> bytes:
    """A sentencepiece model.

    One that was damaged may end the process, as sentencepiece does not check what it reads; callers that
    have a checksum compare it before.

    Raises:
        UserError: it is empty, or no such model.
    """
    if not path.is_file():
        raise UserError(f"{path}: is no file, expected a sentencepiece model; copy it again, or run kdasr tokens again")
    model = path.read_bytes()
    processor(model, path)
    return model


def processor(model: bytes, path: str | Path) -> Any:
    """What reads and writes a sentencepiece model's pieces; UserError if it is none, or there is no sentencepiece."""
    try:
        import sentencepiece  # here: characters and words are read without it
    except ModuleNotFoundError:
        raise UserError(f"{path}: sentencepiece is not installed, which reads it; pip install sentencepiece") from None
    try:
        if model:  # of no bytes it would make a reader that reads nothing
            return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError:
        pass
    raise UserError(f"{path}: is no sentencepiece model, or damaged; copy it again, or run kdasr tokens again")


def refuse_other_things(out: Path) -> None:
    """UserError if a token directory would take the place of something else, which would be lost."""
    refuse_nameless(out)
    if out.exists() and not (out / "tokens.json").exists() and (not out.is_dir() or any(out.glob("[!.]*"))):
        raise UserError(f"{out}: holds other things than tokens, which would be lost; name another directory")


def of_model(directory: Path, nlsyms: Path | None = None) -> Tokens:
    """The tokens of a finished ESPnet2 model, from its config.yaml (and its sentencepiece model).

    Raises:
        UserError: no ESPnet2 ASR model, tokens of a kind that kdasr has not, or a file that is gone.
    """
    return of_config(directory, read_config(directory), nlsyms)


def of_config(directory: str | Path, config: dict[str, Any], nlsyms: Path | None = None) -> Tokens:
    """As `of_model`, of an ASR or language model whose config.yaml has been read."""
    listed, kind = tokens_of(config, f"{directory}/config.yaml"), config.get("token_type")
    given = config.get("non_linguistic_symbols") or []
    if nlsyms:
        given = read_lines(nlsyms)
    elif isinstance(given, str):
        given = read_lines(beside(directory, given, "its non-linguistic symbols"))
    elif not isinstance(given, list):
        raise UserError(
            f"{directory}/config.yaml: non_linguistic_symbols is {given!r}, expected a file or a list; copy it again"
        )
    reserved = {BLANK, UNK, SOS_EOS, SPACE}
    symbols = sorted({symbol for symbol in (str(line).strip(BLANKS) for line in given) if symbol} & set(listed))
    symbols = symbols or sorted(token for token in listed if NLSYM.fullmatch(token) and token not in reserved)
    if kind in ("char", "word"):
        return Tokens(kind, listed, symbols)
    if kind != "bpe":  # ESPnet's name for every sentencepiece model
        raise UserError(f"{directory}: has tokens of type {kind}; expected char, word, or bpe of sentencepiece")
    pieces = beside(directory, str(config.get("bpemodel")), "its sentencepiece model")
    return Tokens("bpe", listed, symbols, read_pieces(pieces))
