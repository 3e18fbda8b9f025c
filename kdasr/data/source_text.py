"""The source side of a translation model: its tokens, and the sentences of a data directory."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kdasr import checkpoints
from kdasr.data.kaldi_dir import SOURCE
from kdasr.data.tokens import BLANK, SOS_EOS, UNK, Tokens, load_tokens, of_config, processor
from kdasr.errors import UserError
from kdasr.files import read_table
from kdasr.models import read_config
from kdasr.translation import SRC_TOKENS, of_source


class Sentence(NamedTuple):
    """What a translation model reads of an utterance."""

    ids: tuple[int, ...]  # of its source tokens, one at least
    text: str  # as it is written


def source_tokens(directory: str | Path) -> Tokens:
    """The source tokens of a translation model: those of its `src_tokens`, else as its config.yaml says.

    Raises:
        UserError: no such model, files that were changed after the training, or a sentencepiece model of other tokens,
            as of the target's under the same name.
    """
    own = Path(directory) / SRC_TOKENS
    if own.is_dir():
        for path in own.iterdir():
            checkpoints.check_known(path)
        return load_tokens(own)
    tokens = of_config(directory, of_source(read_config(directory)))
    if tokens.in_pieces:
        pieces = processor(tokens.model, "the source's sentencepiece model")
        known = {pieces.id_to_piece(number) for number in range(len(pieces))}
        other = next((token for token in tokens.list if token not in {*known, BLANK, UNK, SOS_EOS}), None)
        if other is not None:
            raise UserError(
                f"{directory}/config.yaml: src_bpemodel has no piece {other!r}, as src_token_list has: it is "
                f"another, perhaps the target's of the same name; put the source's tokens into {own} (kdasr tokens)"
            )
    return tokens


def read_source(data: str | Path, what: str) -> dict[str, str]:
    """The source sentences of a data directory.

    Args:
        data: the data directory.
        what: reads them, for the message.

    Raises:
        UserError: there is no text.src, it is empty or malformed, or has a sentence without words.
    """
    path = Path(data) / SOURCE
    if not path.is_file():
        raise UserError(f"{path}: no such file; {what} reads source text (kdasr data parallel)")
    table = read_table(path)
    if not table:
        raise UserError(f"{path}: is empty; make the data directory again (kdasr data parallel)")
    return table


def sentences(data: str | Path, tokens: Tokens, what: str) -> dict[str, Sentence]:
    """As `read_source`, as tokens; UserError also for a sentence that has none."""
    found = {name: Sentence(tuple(tokens.encode(text)), text) for name, text in read_source(data, what).items()}
    without = next((name for name, sentence in found.items() if not sentence.ids), None)
    if without is not None:
        raise UserError(f"{data}/{SOURCE}: {without} has no tokens; leave it out (utils/fix_data_dir.py)")
    return found
