"""`kdasr tokens`: transcripts, or a finished model -> the tokens of a recogniser, characters or sentencepiece.

A token directory holds tokens.txt (one a line: <blank>, <unk>, ..., <sos/eos>), nlsyms.txt (words such as
<NOISE> that are one token), bpe.model for sentencepiece, and tokens.json (the type, and what it was made
from). The list is the one that ESPnet's recipes make, and the encoding that of ESPnet's tokenizers, so that
its preprocessor sees the same tokens (tests/data/test_tokens.py holds them against each other).
"""

from __future__ import annotations

import argparse
import functools
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr.checkpoints import checksums, compare
from kdasr.data.kaldi_check import odd_character
from kdasr.data.kaldi_dir import refuse_nameless
from kdasr.errors import UserError
from kdasr.files import BLANKS, atomic_dir, columns, only_writer, read_json, read_lines, read_table, write_json
from kdasr.shards import digest

EXAMPLES = """\
examples:
  # characters, with every <...> word of the text as one token
  kdasr tokens --text dump/fbank/train_si284/text --out dump/tokens/char
  # 100 sentencepiece units; which tokens of the test sets are unknown to them
  kdasr tokens --text dump/fbank/train_si284/text --out dump/tokens/bpe100 --type bpe --vocab 100 \\
      --check dump/fbank/test_dev93/text dump/fbank/test_eval92/text
  # those of a finished ESPnet model, for students that learn from its hypotheses
  kdasr tokens --model /models/asr_wsj --out dump/tokens/of_asr_wsj
"""

BLANK, UNK, SOS_EOS, SPACE = "<blank>", "<unk>", "<sos/eos>", "<space>"
NLSYM = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class Tokens:
    """A token list, and the way from text to its ids and back."""

    type: str  # char, bpe, unigram
    list: list[str]  # id -> token; <blank> is 0, <sos/eos> the last
    nlsyms: list[str]  # words that are one token
    model: bytes = b""  # sentencepiece's

    def __len__(self) -> int:
        return len(self.list)

    @property
    def space(self) -> str:
        """The token that stands for the blank between words in a character list."""
        return SPACE

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Token -> id."""
        return {token: number for number, token in enumerate(self.list)}

    @functools.cached_property
    def _pieces(self) -> Any:
        return _processor(self.model, "bpe.model")

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join([*map(re.escape, self.nlsyms), "."]), re.DOTALL)

    def split(self, text: str) -> list[str]:
        """The tokens of a text, the unknown among them as they are."""
        if self.type != "char":
            return self._pieces.encode(text, out_type=str)
        return [SPACE if token == " " else token for token in self._pattern.findall(text)]

    def normalised(self, text: str) -> str:
        """A text as its tokens spell it: sentencepiece normalises it (NFKC) before it cuts it, as in ESPnet.

        In what is given back one blank stands between words.
        """
        if self.type != "char" and not text.isascii():  # none of ASCII's characters has another form
            text = self.join(self.split(text))
        return " ".join(columns(text))

    def join(self, tokens: Iterable[str]) -> str:
        """The text of tokens."""
        if self.type != "char":
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
        raise UserError(f"{path}: {token} stands there {times} times; make the list anew with kdasr tokens")
    nlsyms = [line for line in read_lines(directory / "nlsyms.txt") if line]
    compare(directory, made.get("sha256"), "copy it again, or run kdasr tokens again")
    if kind == "char":
        return Tokens("char", tokens, nlsyms)
    if kind not in ("bpe", "unigram") or not (directory / "bpe.model").exists():
        raise UserError(
            f"{directory}: expected type char in tokens.json, or bpe or unigram and bpe.model; run kdasr tokens again"
        )
    return Tokens(kind, tokens, nlsyms, read_pieces(directory / "bpe.model"))


def read_pieces(path: Path) -> bytes:
    """A sentencepiece model.

    One that was damaged may end the process, as sentencepiece does not check what it reads: whoever has a checksum of
    it compares before.

    Raises:
        UserError: it is empty, or no such model.
    """
    if not path.is_file():
        raise UserError(f"{path}: is no file, expected a sentencepiece model; copy it again, or run kdasr tokens again")
    model = path.read_bytes()
    _processor(model, path)
    return model


def _processor(model: bytes, path: str | Path) -> Any:
    """What reads and writes a sentencepiece model's pieces; UserError if it is none."""
    import sentencepiece

    try:
        if model:  # of no bytes it would make a reader that reads nothing
            return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError:
        pass
    raise UserError(f"{path}: is no sentencepiece model, or damaged; copy it again, or run kdasr tokens again")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr tokens`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", nargs="+", type=Path, help="transcripts of the training set, Kaldi's text form")
    source.add_argument("--model", type=Path, metavar="DIR", help="take the tokens of this ESPnet model instead")
    parser.add_argument("--out", required=True, type=Path, help="token directory to write")
    parser.add_argument(
        "--type", choices=["char", "unigram", "bpe"], default="char", help="kind of tokens (default char)"
    )
    parser.add_argument(
        "--vocab", type=int, help="size of the list for unigram and bpe (default 100); char keeps every character"
    )
    parser.add_argument(
        "--nlsyms", type=Path, help="further words that are one token, one a line (every <...> word is one anyway)"
    )
    parser.add_argument("--check", nargs="+", type=Path, default=[], help="texts to look for unknown tokens in")


def run(args: argparse.Namespace) -> None:
    """Make a token directory, unless it is there, and check texts against it."""
    if args.type == "char" and args.vocab is not None:
        raise UserError(
            f"--vocab {args.vocab}: a character list keeps every character; give --type bpe or unigram, or no --vocab"
        )
    vocab = (args.vocab or 100) if args.type != "char" else None
    for path in [*(args.text or []), *([args.nlsyms] if args.nlsyms else []), *args.check]:
        read_lines(path)  # says so if it is absent or not UTF-8
    if args.model:
        made_from: dict[str, Any] = {"model": digest(args.model / "config.yaml")}
    else:
        made_from = {
            "type": args.type,
            "vocab": vocab,
            "text": [digest(path) for path in args.text],
            "nlsyms": digest(args.nlsyms) if args.nlsyms else None,
        }
    refuse_other_things(args.out)
    with only_writer(args.out.parent, name=f".{args.out.name}.lock", wait=60):
        if (args.out / "tokens.json").exists():
            there = read_json(args.out / "tokens.json").get("made_from")
            there = there if isinstance(there, dict) else {}
            differing = [key for key in {**there, **made_from} if there.get(key) != made_from.get(key)]
            if differing:
                key = differing[0]
                raise UserError(
                    f"{args.out}: made from another {key} (was {there.get(key)}, now {made_from.get(key)}), and "
                    "models may depend on it; name another directory, or remove this one"
                )
            tokens = load_tokens(args.out)
            print(f"{args.out}: {len(tokens)} tokens ({tokens.type}) are there already")
        else:
            tokens = (
                of_model(args.model, args.nlsyms) if args.model else build(args.text, args.type, vocab, args.nlsyms)
            )
            write(args.out, tokens, made_from)
            print(
                f"{args.out}: {len(tokens)} tokens ({tokens.type}); one token each: {' '.join(tokens.nlsyms) or 'none'}"
            )
    for path in args.check:
        print(check(tokens, path))
    for path in dict.fromkeys([*(args.text or []), *args.check]):
        if note := changed(tokens, path):
            print(note)


def refuse_other_things(out: Path) -> None:
    """UserError if a token directory would take the place of something else, which would be lost."""
    refuse_nameless(out)
    if out.exists() and not (out / "tokens.json").exists() and (not out.is_dir() or any(out.glob("[!.]*"))):
        raise UserError(f"{out}: holds other things than tokens, which would be lost; name another directory")


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
    symbols = find_nlsyms(found, nlsyms, kind)
    if kind == "char":
        counts = Counter(token for line in lines for token in Tokens("char", [], symbols).split(line))
        # ESPnet's order: by count, and by first appearance among equals.
        inner = [token for token, _ in sorted(counts.items(), key=lambda row: -row[1]) if token != UNK]
        return Tokens("char", [BLANK, UNK, *inner, SOS_EOS], symbols)
    model = train_pieces(lines, kind, vocab or 100, symbols, texts[0])
    pieces = _processor(model, "bpe.model")
    inner = [pieces.id_to_piece(number) for number in range(3, len(pieces))]  # after <unk> <s> </s>
    return Tokens(kind, [BLANK, UNK, *inner, SOS_EOS], symbols, model)


def of_model(directory: Path, nlsyms: Path | None = None) -> Tokens:
    """The tokens of a finished ESPnet2 model, from its config.yaml (and its sentencepiece model).

    Raises:
        UserError: no ESPnet2 ASR model, tokens of a kind that kdasr has not, or a file that is gone.
    """
    from kdasr.models import read_config

    return of_config(directory, read_config(directory), nlsyms)


def of_config(directory: str | Path, config: dict[str, Any], nlsyms: Path | None = None) -> Tokens:
    """As `of_model`, of an ASR or language model whose config.yaml has been read."""
    from kdasr.models import beside

    listed, kind = list(config["token_list"]), config.get("token_type")
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
    if kind == "char":
        return Tokens("char", listed, symbols)
    if kind != "bpe":  # ESPnet's name for every sentencepiece model
        raise UserError(f"{directory}: has tokens of type {kind}; expected characters (char) or sentencepiece (bpe)")
    pieces = beside(directory, str(config.get("bpemodel")), "its sentencepiece model")
    return Tokens("bpe", listed, symbols, read_pieces(pieces))


def find_nlsyms(found: Mapping[str, str], path: Path | None, kind: str) -> list[str]:
    """The words that are one token: those of a file and every <...> word of the text, sorted.

    Args:
        found: the text's, with where each stands.
        path: the file.
        kind: of tokens.

    Raises:
        UserError: a word that has a meaning of its own among tokens of this kind, or that begins another.
    """
    lines = {line.strip(BLANKS): number for number, line in enumerate(read_lines(path), 1)} if path else {}
    places = {**{line: f"{path}:{number}" for line, number in lines.items() if line}, **found}
    symbols = sorted(places)
    reserved = {BLANK, SOS_EOS, SPACE} if kind == "char" else {BLANK, SOS_EOS, UNK, "<s>", "</s>"}
    for symbol in symbols:
        if symbol in reserved:
            raise UserError(
                f"{places[symbol]}: {symbol} cannot be a token of its own, as it has a meaning among {kind} tokens; "
                "write another word"
            )
        if len(columns(symbol)) > 1 or odd_character(symbol):
            raise UserError(f"{places[symbol]}: {symbol!r} cannot be a token, expected one word a line; mend the line")
    for symbol, longer in ((a, b) for a in symbols for b in symbols if a != b and b.startswith(a)):
        raise UserError(
            f"{places[symbol]}: {symbol} begins {longer}, so that {longer} could be read in two ways; rename one of "
            "them"
        )
    return symbols


def train_pieces(lines: Sequence[str], kind: str, vocab: int, symbols: Sequence[str], path: Path) -> bytes:
    """Train sentencepiece (one thread, all lines, no sampling: the same text gives the same model)."""
    import sentencepiece

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
