"""A token directory is made, and texts are held against it."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece

from kdasr.checkpoints import checksums
from kdasr.data.kaldi_check import odd_character
from kdasr.data.source_text import source_tokens
from kdasr.data.tokens import (
    BLANK,
    NLSYM,
    SOS_EOS,
    SPACE,
    UNK,
    Tokens,
    load_tokens,
    of_model,
    processor,
    refuse_other_things,
)
from kdasr.errors import UserError
from kdasr.files import BLANKS, atomic_dir, columns, only_writer, read_json, read_lines, read_table, write_json
from kdasr.models import translates
from kdasr.shards import digest

SPECIAL = 3  # tokens of every list that no text is made of: <blank>, <unk>, <sos/eos>
UNKNOWN_SHARE = 0.1  # of the tokens of a text: above this it is written otherwise than the texts of the model


@dataclass(frozen=True)
class TokenSettings:
    """One token directory; the options of `kdasr tokens`. Either `text` or `model` is given."""

    out: Path  # token directory to write
    text: Sequence[Path] | None = None  # transcripts of the training set, Kaldi's text form
    model: Path | None = None  # an ESPnet model, whose tokens are taken
    source: bool = False  # of `model`, which translates: those that it reads
    type: str = "char"  # char, unigram, bpe or word
    vocab: int | None = None  # size of the list for unigram and bpe, None for 100; for words, None for all of them
    nlsyms: Path | None = None  # further words that are one token, one a line
    check: Sequence[Path] = ()  # texts to look for unknown tokens in


def make_tokens(asked: TokenSettings) -> None:
    """Make a token directory, unless it is there, and check texts against it.

    Raises:
        UserError: settings that do not go together, a text or model that gives no tokens, or `out` was made from
            another one.
    """
    out, texts = asked.out, asked.text or ()
    if asked.source and not (asked.model and translates(asked.model)):
        raise UserError("--source: takes the tokens that a model reads; name one that translates (--model)")
    if asked.type == "char" and asked.vocab is not None:
        raise UserError(
            f"--vocab {asked.vocab}: a character list keeps every character; give --type bpe or unigram, or no --vocab"
        )
    vocab = asked.vocab or (100 if asked.type in ("unigram", "bpe") else None)
    if asked.type == "word" and asked.nlsyms:
        raise UserError("--nlsyms: every word of a list of words is one token; leave it out")
    if asked.type == "word" and vocab is not None and vocab <= SPECIAL:
        raise UserError(f"--vocab {vocab}: {SPECIAL} of a list are no words; give a larger number")
    for path in [*texts, *([asked.nlsyms] if asked.nlsyms else []), *asked.check]:
        read_lines(path)  # says so if it is absent or not UTF-8
    if asked.model:
        made_from: dict[str, Any] = {"model": digest(asked.model / "config.yaml")}
        made_from |= {"source": True} if asked.source else {}
    else:
        made_from = {
            "type": asked.type,
            "vocab": vocab,
            "text": [digest(path) for path in texts],
            "nlsyms": digest(asked.nlsyms) if asked.nlsyms else None,
        }
    refuse_other_things(out)
    with only_writer(out.parent, name=f".{out.name}.lock", wait=60):
        if (out / "tokens.json").exists():
            there = read_json(out / "tokens.json").get("made_from")
            there = there if isinstance(there, dict) else {}
            differing = [key for key in {**there, **made_from} if there.get(key) != made_from.get(key)]
            if differing:
                key = differing[0]
                raise UserError(
                    f"{out}: made from another {key} (was {there.get(key)}, now {made_from.get(key)}), and "
                    "models may depend on it; name another directory, or remove this one"
                )
            tokens = load_tokens(out)
            print(f"{out}: {len(tokens)} tokens ({tokens.type}) are there already")
        else:
            if asked.model:
                tokens = source_tokens(asked.model) if asked.source else of_model(asked.model, asked.nlsyms)
            else:
                tokens = build(texts, asked.type, vocab, asked.nlsyms)
            write(out, tokens, made_from)
            print(f"{out}: {len(tokens)} tokens ({tokens.type}); one token each: {' '.join(tokens.nlsyms) or 'none'}")
    for path in asked.check:
        print(check(tokens, path))
        if asked.model:
            refuse_others(tokens, path, asked.model)
    for path in dict.fromkeys([*texts, *asked.check]):
        if note := changed(tokens, path):
            print(note)


def build(texts: Sequence[Path], kind: str, vocab: int | None = None, nlsyms: Path | None = None) -> Tokens:
    """Make the tokens of a training set's transcripts.

    Raises:
        UserError: no text, white space or a control character, which would become a token, a reserved word, or a size
            of the list that the text does not allow (the possible one is named).
    """
    lines: list[str] = []
    found: dict[str, str] = {}  # <...> word: where it stands
    for path in texts:
        for number, (name, text) in enumerate(read_table(path).items(), 1):
            odd = odd_character(text, blanks=" ")
            if odd:
                raise UserError(
                    f"{path}:{number}: {name} has the character {odd!a}, which would become a token; write a space"
                )
            if "<" in text:
                found |= {word: f"{path}:{number}: {name}" for word in columns(text) if NLSYM.fullmatch(word)} | found
            lines.append(text)
    if not lines:
        raise UserError(f"{texts[0]}: no text in it, so no tokens either; give the training set's transcripts")
    if kind == "word":
        return Tokens("word", [BLANK, UNK, *most_frequent(lines, vocab), SOS_EOS], [])
    symbols = find_nlsyms(found, nlsyms, kind)
    if kind == "char":
        counts = Counter(token for line in lines for token in Tokens("char", [], symbols).split(line))
        # ESPnet's order: by count, and by first appearance among equals.
        inner = [token for token, _ in sorted(counts.items(), key=lambda row: -row[1]) if token != UNK]
        return Tokens("char", [BLANK, UNK, *inner, SOS_EOS], symbols)
    model = train_pieces(lines, kind, vocab or 100, symbols, texts[0])
    pieces = processor(model, "bpe.model")
    inner = [pieces.id_to_piece(number) for number in range(3, len(pieces))]  # after <unk> <s> </s>
    return Tokens(kind, [BLANK, UNK, *inner, SOS_EOS], symbols, model)


def most_frequent(lines: Sequence[str], vocab: int | None) -> list[str]:
    """The words of a list of `vocab` tokens (None: all words), by count, and by first appearance among equals."""
    counts = Counter(word for line in lines for word in line.split())
    words = [word for word, _ in counts.most_common() if word not in (BLANK, UNK, SOS_EOS)]
    return words if vocab is None else words[: vocab - SPECIAL]


def find_nlsyms(found: Mapping[str, str], path: Path | None, kind: str) -> list[str]:
    """The words that are one token: those of a file and every <...> word of the text, sorted.

    Args:
        found: the text's, with where each stands.
        path: the file.
        kind: of tokens.

    Raises:
        UserError: a word that has a special meaning among tokens of this kind, or that begins another.
    """
    lines = {line.strip(BLANKS): number for number, line in enumerate(read_lines(path), 1)} if path else {}
    places = {**{line: f"{path}:{number}" for line, number in lines.items() if line}, **found}
    symbols = sorted(places)
    reserved = {BLANK, SOS_EOS, SPACE} if kind == "char" else {BLANK, SOS_EOS, UNK, "<s>", "</s>"}
    for symbol in symbols:
        if symbol in reserved:
            raise UserError(
                f"{places[symbol]}: {symbol} cannot be a token, as it has a special meaning among {kind} tokens; "
                "write another word"
            )
        if len(columns(symbol)) > 1 or odd_character(symbol):
            raise UserError(
                f"{places[symbol]}: {symbol!r} cannot be a token, expected one word a line; correct the line"
            )
    for symbol, longer in ((a, b) for a in symbols for b in symbols if a != b and b.startswith(a)):
        raise UserError(
            f"{places[symbol]}: {symbol} begins {longer}, so that {longer} could be read in two ways; rename one of "
            "them"
        )
    return symbols


def train_pieces(lines: Sequence[str], kind: str, vocab: int, symbols: Sequence[str], path: Path) -> bytes:
    """Train sentencepiece (one thread, all lines, no sampling: the same text gives the same model)."""
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab,
            character_coverage=1.0,
            user_defined_symbols=list(symbols),
            max_sentence_length=1 << 20,  # bytes; longer lines would be left out in silence
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, ValueError) as error:
        high = re.search(r"too high \(\d+\).*<= (\d+)", str(error))
        low = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if high:
            raise UserError(
                f"{path}: too little text for {vocab} {kind} tokens; give --vocab {high[1]} or less"
            ) from None
        if low:
            raise UserError(
                f"{path}: has more characters than {vocab} {kind} tokens; give --vocab {low[1]} or more"
            ) from None
        raise UserError(
            f"{path}: sentencepiece cannot make {vocab} {kind} tokens of it ({error}); try another --vocab"
        ) from None
    return model.getvalue()


def write(out: Path, tokens: Tokens, made_from: dict[str, Any]) -> None:
    """Write a token directory, whole or not at all."""
    with atomic_dir(out) as fresh:
        (fresh / "tokens.txt").write_text("".join(f"{token}\n" for token in tokens.list), encoding="utf-8")
        (fresh / "nlsyms.txt").write_text("".join(f"{symbol}\n" for symbol in tokens.nlsyms), encoding="utf-8")
        if tokens.model:
            (fresh / "bpe.model").write_bytes(tokens.model)
        record = {"type": tokens.type, "size": len(tokens), "made_from": made_from}
        write_json(fresh / "tokens.json", {**record, "sha256": checksums(fresh, ["*.txt", "bpe.model"])})


def check(tokens: Tokens, path: Path) -> str:
    """One line about a text: how many of its tokens the list lacks, and which."""
    total, utterances, unknown = 0, 0, Counter[str]()
    table = read_table(path, empty=True)
    for text in table.values():
        split = tokens.split(text)
        lacking = [token for token in split if token not in tokens.ids or token == UNK]
        total, utterances = total + len(split), utterances + bool(lacking)
        unknown.update(lacking)
    line = f"{path}: {len(table)} utterances, {total} tokens, {unknown.total()} unknown"
    if unknown:
        shown = ", ".join(f"{token} {count}" for token, count in unknown.most_common(20))
        line += f" ({100 * unknown.total() / total:.3f} %), in {utterances} utterances: {shown}"
        line += f", and {len(unknown) - 20} more" if len(unknown) > 20 else ""
    return line


def refuse_others(tokens: Tokens, path: Path, model: Path) -> None:
    """UserError if a text is not written as a finished model writes: its students would learn <unk> from it."""
    unknown: dict[str, list[str]] = {}
    total = 0
    for name, text in read_table(path, empty=True).items():
        split = tokens.split(text)
        total += len(split)
        if lacking := [token for token in split if token not in tokens.ids]:
            unknown[name] = lacking
    count = sum(map(len, unknown.values()))
    if count <= UNKNOWN_SHARE * total:
        return
    name, lacking = next(iter(unknown.items()))
    known = "".join(token for token in tokens.list if not NLSYM.fullmatch(token))
    raise UserError(
        f"{path}: {name}: {count} of {total} tokens of the text are none of {model}, as {lacking[0]!r}; write the "
        f"transcripts as the model does, with {''.join(sorted(set(known)))[:60]}"
    )


def changed(tokens: Tokens, path: Path) -> str:
    """One line about a text that sentencepiece normalises: how many utterances change, and how; '' if none does.

    Blanks more or less between words are no change.
    """
    table = read_table(path, empty=True)
    plain = {name: " ".join(columns(text)) for name, text in table.items()}
    spelled = {name: tokens.normalised(text) for name, text in plain.items()}
    differing = [name for name in table if plain[name] != spelled[name]]
    if not differing:
        return ""
    name = differing[0]
    return (
        f"{path}: sentencepiece normalises {len(differing)} of {len(table)} utterances (NFKC, as ESPnet), as {name}: "
        f"{_first_difference(plain[name], spelled[name])}; scores are then of the normalised text"
    )


def _first_difference(before: str, after: str) -> str:
    """The first word that differs, before and after; the whole texts where there are more words or fewer."""
    one, other = columns(before), columns(after)
    pairs = list(zip(one, other, strict=True)) if len(one) == len(other) else [(before, after)]
    a, b = next((a, b) for a, b in pairs if a != b)
    # what only a mark of no width or another way to write an accent tells apart looks the same
    alike = _visible(a) == _visible(b)
    return f"{a!a} -> {b!a}" if alike else f"{a} -> {b}"


def _visible(text: str) -> str:
    kept = (c for c in unicodedata.normalize("NFC", text) if not c.isspace() and unicodedata.category(c) != "Cf")
    return "".join(kept)
