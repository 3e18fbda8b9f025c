"""`kdasr data text`: a text of our own for language models, articles of the embedded corpus's grammar.

An article keeps to a few kinds of sentence and to two companies, people, countries and so on, as a newspaper's does:
what comes next depends on what was said sentences ago, which a recurrent network can learn and an n-gram cannot.
Perplexities on it say nothing about those on Penn Treebank, whose form its files have.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Container
from pathlib import Path

from kdasr.data.grammar import expand, expansions
from kdasr.errors import UserError
from kdasr.files import atomic_write, read_table

EXAMPLES = """examples:
  # train.txt, valid.txt and test.txt, lower case
  kdasr data text --out data/text
  # for a recogniser of the embedded corpus: upper case, without the sentences that it is tested on
  kdasr data text --out data/lm --sentences 8000 --upper --without data/test_dev93/text data/test_eval92/text
"""
KEPT = (  # what recurs in an article
    *("name", "surname", "first", "country", "city", "region", "commodity", "currency", "industry", "goods"),
    *("month", "day", "index", "party", "disaster", "body"),
)
RECURRING = 2  # of each of these
TEMPLATES = 12  # kinds of sentence in an article
LENGTH = (5, 15)  # sentences of one
HELD_OUT = 10  # the validation and the test text are each this part of the training text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr data text`."""
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="directory for train.txt, valid.txt, test.txt")
    add("--sentences", type=int, default=2600, help="of the training text (default 2600, about 20,000 words)")
    add("--seed", type=int, default=0, help="of all chance, 0 or more (default 0)")
    add("--upper", action="store_true", help="write capitals, as the embedded corpus's transcripts are")
    add("--without", nargs="+", default=[], metavar="TEXT", help="transcripts (Kaldi's form) that may not occur")


def run(args: argparse.Namespace) -> None:
    """Write the three texts."""
    if args.sentences < HELD_OUT or args.seed < 0:
        raise UserError(f"--sentences {args.sentences} --seed {args.seed}: expected {HELD_OUT} or more, and 0 or more")
    taken = {text.upper() for path in args.without for text in read_table(path).values()}
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    sizes = {"train": args.sentences, "valid": args.sentences // HELD_OUT, "test": args.sentences // HELD_OUT}
    for number, (name, size) in enumerate(sizes.items()):
        lines = articles(random.Random(f"{args.seed} {number}"), size, taken)
        with atomic_write(out / f"{name}.txt") as stream:
            stream.writelines(f"{line.upper() if args.upper else line}\n" for line in lines)
    told = ", ".join(f"{size} sentences in {name}.txt" for name, size in sizes.items())
    print(f"{out}: {told}; a made text, which says nothing about real ones")


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
