"""A text for language models: articles of the synthetic demo corpus's grammar, or WSJ's, of its disc.

An article keeps to a few kinds of sentence and to two companies, people, countries and so on, as a newspaper's does:
what comes next depends on what was said sentences ago, which a recurrent network can learn and an n-gram cannot.
Perplexities on it say nothing about those on Penn Treebank, whose form its files have. With --apart the sentences
are unrelated, as in the synthetic demo corpus; such a text is for its recogniser.
"""

from __future__ import annotations

import random
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr.data.grammar import draw, expand, expansions
from kdasr.data.texts import write_texts
from kdasr.data.wsj_lm_text import disc_sentences
from kdasr.errors import UserError
from kdasr.files import columns, read_table
from kdasr.settings import check_least

KEPT = (  # what recurs in an article
    *("name", "surname", "first", "country", "city", "region", "commodity", "currency", "industry", "goods"),
    *("month", "day", "index", "party", "disaster", "body"),
)
RECURRING = 2  # of each of these
TEMPLATES = 12  # kinds of sentence in an article
LENGTH = (5, 15)  # sentences of one
HELD_OUT = 10  # the validation and the test text are each this part of the training text, by default
DISC_HELD_OUT = 9000  # sentences of WSJ's text, about 200,000 words (Shi et al. 2019)


@dataclass(frozen=True)
class Text:
    """What text is made; the options of `kdasr data text`."""

    out: str | Path  # directory for train.txt, valid.txt, test.txt
    discs: list[Path] | None = None  # WSJ's; None for a text of our grammar
    sentences: int = 2600  # of our training text
    held_out: int | None = None  # sentences of the validation text, and of the test text; None: see HELD_OUT
    seed: int = 0  # of all chance
    apart: bool = False  # sentences that have nothing to do with each other, instead of articles
    upper: bool = False  # capitals
    without: Sequence[str | Path] = ()  # transcripts (Kaldi's form) that may not occur


def write_text(asked: Text) -> None:
    """Write the three texts, and print their sizes.

    Raises:
        UserError: a number out of its range, or discs with less text than is held out.
    """
    if asked.sentences < HELD_OUT or asked.seed < 0:
        raise UserError(
            f"--sentences {asked.sentences} --seed {asked.seed}: expected {HELD_OUT} or more, and 0 or more"
        )
    if asked.held_out is not None:
        check_least("held_out", asked.held_out, 1)
    # one blank between words, as the sentences have it that these are compared to
    taken = {
        " ".join(columns(text)).upper() for path in asked.without for text in read_table(path, empty=True).values()
    }
    texts = of_discs(asked, asked.discs, taken) if asked.discs else made(asked, taken)
    if asked.upper:
        texts = {name: [line.upper() for line in lines] for name, lines in texts.items()}
    sizes = write_texts(asked.out, texts)
    print(sizes + ("" if asked.discs else "; a made text, which says nothing about real ones"))


def made(asked: Text, taken: Container[str]) -> dict[str, list[str]]:
    """The three texts from the grammar."""
    held_out = asked.held_out or asked.sentences // HELD_OUT
    write = apart if asked.apart else articles
    sizes = {"train": asked.sentences, "valid": held_out, "test": held_out}
    return {
        name: write(random.Random(f"{asked.seed} {number}"), size, taken)
        for number, (name, size) in enumerate(sizes.items())
    }


def of_discs(asked: Text, discs: list[Path], taken: Container[str]) -> dict[str, list[str]]:
    """The three texts from WSJ's: the last sentences are the test text, those before them the validation text."""
    held_out = asked.held_out or DISC_HELD_OUT
    lines = [line for line in disc_sentences(discs) if line not in taken]
    if len(lines) < 3 * held_out:
        raise UserError(f"{discs[0]}: holds {len(lines)} sentences; hold out fewer than {held_out}: --held_out")
    first, second = len(lines) - 2 * held_out, len(lines) - held_out
    return {"train": lines[:first], "valid": lines[first:second], "test": lines[second:]}


def apart(rng: random.Random, count: int, taken: Container[str] = ()) -> list[str]:
    """So many sentences that do not belong together, as long as the demo corpus's; arguments as `articles`."""
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
