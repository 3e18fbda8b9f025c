"""`kdasr data text`: a text for language models: articles of the embedded corpus's grammar, or WSJ's, of its disc.

An article keeps to a few kinds of sentence and to two companies, people, countries and so on, as a newspaper's does:
what comes next depends on what was said sentences ago, which a recurrent network can learn and an n-gram cannot.
Perplexities on it say nothing about those on Penn Treebank, whose form its files have. With --apart no sentence has to
do with another, as in the embedded corpus, whose recogniser such a text is for.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Container
from pathlib import Path

from kdasr.data.grammar import draw, expand, expansions
from kdasr.data.wsj_lm_text import disc_sentences
from kdasr.errors import UserError
from kdasr.files import atomic_write, columns, read_table

EXAMPLES = """examples:
  # train.txt, valid.txt and test.txt, lower case
  kdasr data text --out data/text
  # for a recogniser of the embedded corpus: upper case, without the sentences that it is tested on
  kdasr data text --out data/lm --apart --sentences 8000 --upper --without data/test_dev93/text data/test_eval92/text
  # WSJ's 37 million words, on disc 13-32.1
  kdasr data text --out data/lm --discs /corpora/LDC94S13B --without data/test_dev93/text data/test_eval92/text
"""
KEPT = (  # what recurs in an article
    *("name", "surname", "first", "country", "city", "region", "commodity", "currency", "industry", "goods"),
    *("month", "day", "index", "party", "disaster", "body"),
)
RECURRING = 2  # of each of these
TEMPLATES = 12  # kinds of sentence in an article
LENGTH = (5, 15)  # sentences of one
HELD_OUT = 10  # the validation and the test text are each this part of the training text, if not told otherwise
DISC_HELD_OUT = 9000  # sentences of WSJ's text, about 200,000 words (Shi et al. 2019)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr data text`."""
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="directory for train.txt, valid.txt, test.txt")
    add("--discs", nargs="+", type=Path, metavar="DISC", help="take WSJ's text, in capitals, from its discs (13-32.1)")
    add("--sentences", type=int, default=2600, help="of our own training text (default 2600, about 20,000 words)")
    add("--held_out", type=int, help="sentences of the validation text, and of the test text (default 1 of "
        f"{HELD_OUT} of these; of WSJ's {DISC_HELD_OUT})")  # fmt: skip
    add("--seed", type=int, default=0, help="of all chance, 0 or more (default 0)")
    add("--apart", action="store_true", help="sentences that have nothing to do with each other, instead of articles")
    add("--upper", action="store_true", help="write capitals, as the embedded corpus's transcripts are")
    add("--without", nargs="+", default=[], metavar="TEXT", help="transcripts (Kaldi's form) that may not occur")


def run(args: argparse.Namespace) -> None:
    """Write the three texts."""
    if args.sentences < HELD_OUT or args.seed < 0:
        raise UserError(f"--sentences {args.sentences} --seed {args.seed}: expected {HELD_OUT} or more, and 0 or more")
    if args.held_out is not None and args.held_out < 1:
        raise UserError(f"--held_out {args.held_out}: expected 1 or more")
    # one blank between words, as the sentences have it that these are compared to
    taken = {" ".join(columns(text)).upper() for path in args.without for text in read_table(path, empty=True).values()}
    texts = of_discs(args, taken) if args.discs else made(args, taken)
    Path(args.out).mkdir(parents=True, exist_ok=True)
    for name, lines in texts.items():
        with atomic_write(Path(args.out) / f"{name}.txt") as stream:
            stream.writelines(f"{line.upper() if args.upper else line}\n" for line in lines)
    told = ", ".join(f"{len(lines)} sentences in {name}.txt" for name, lines in texts.items())
    print(f"{args.out}: {told}" + ("" if args.discs else "; a made text, which says nothing about real ones"))


def made(args: argparse.Namespace, taken: Container[str]) -> dict[str, list[str]]:
    """The three texts from the grammar."""
    held_out = args.held_out or args.sentences // HELD_OUT
    write = apart if args.apart else articles
    sizes = {"train": args.sentences, "valid": held_out, "test": held_out}
    return {
        name: write(random.Random(f"{args.seed} {number}"), size, taken)
        for number, (name, size) in enumerate(sizes.items())
    }


def of_discs(args: argparse.Namespace, taken: Container[str]) -> dict[str, list[str]]:
    """The three texts from WSJ's: the last sentences are the test text, those before them the validation text."""
    held_out = args.held_out or DISC_HELD_OUT
    lines = [line for line in disc_sentences(args.discs) if line not in taken]
    if len(lines) < 3 * held_out:
        raise UserError(f"{args.discs[0]}: holds {len(lines)} sentences; hold out fewer than {held_out}: --held_out")
    first, second = len(lines) - 2 * held_out, len(lines) - held_out
    return {"train": lines[:first], "valid": lines[first:second], "test": lines[second:]}


def apart(rng: random.Random, count: int, taken: Container[str] = ()) -> list[str]:
    """So many sentences, each by itself, of the length that the embedded corpus's have; arguments as `articles`."""
    lines: list[str] = []
    while len(lines) < count:
        line = " ".join(word.lstrip("@").lower() for word in draw(rng))
        if line.upper() not in taken:
            lines.append(line)
    return lines


def articles(rng: random.Random, count: int, taken: Container[str] = ()) -> list[str]:
    """So many sentences, article after article.

    Args:
        rng: the only source of chance.
        count: of sentences.
        taken: sentences in capitals that may not occur.
    """
    lines: list[str] = []
    while len(lines) < count:
        among = {rule: rng.sample(distinct(rule), RECURRING) for rule in KEPT}
        among["sentence"] = rng.sample(distinct("sentence"), TEMPLATES)
        for _ in range(rng.randint(*LENGTH)):
            line = " ".join(word.lstrip("@").lower() for word in expand(rng, "sentence", among))
            if line.upper() not in taken:
                lines.append(line)
    return lines[:count]


def distinct(rule: str) -> list[list[str]]:
    """A rule's expansions, each once, in their order."""
    return [list(words) for words in dict.fromkeys(map(tuple, expansions(rule)))]
