#!/usr/bin/env python3
"""kdasr's reports compared with the real sclite's, line by line, on random and on realistic pairs of texts.

Examples:
  tools/venv/bin/python tools/check_sclite.py                    # 5,000 pairs of each kind (some minutes)
  tools/venv/bin/python tools/check_sclite.py --pairs 500 --seed 7 --keep /tmp/differ

Random pairs are short texts over small vocabularies, odd words and empty texts among them, in sets of up to 200
utterances; realistic ones are English sentences with substitutions by similar words, insertions and deletions, in
one set. Each set is scored by words and by characters (-c), with the ids of every form, case sensitively (-s) and
not; compared are .sys .raw .pra .dtl .sgml .prf, but for the date in the last two. Exits with 1 if any line differs.
"""

# ruff: noqa: E402 (the repository is put on the path before it is imported)
from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product, zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kdasr.errors import forgiving_output
from kdasr.score import sclite
from kdasr.score.align import align_words
from kdasr.score.characters import characters
from kdasr.score.detail import OPTIONS, longest_word, real_reports, reports, trusted, undated
from kdasr.score.trn import Line, write_trn

Pair = tuple[list[str], list[str]]  # words of the reference and of the hypothesis

SUBJECTS = "the company|investors|analysts|the bank|a spokesman|Mr. Smith|officials|the agency|traders|workers|we|they"
VERBS = "said|expects|reported|sold|bought|announced|denied|will affect|has accepted|raised|lowered|knew|wrote|offered"
OBJECTS = (
    "its quarterly earnings|two new plants|the price of oil|a loss of three million dollars|their shares|an effect|"
    "sales in Europe|the principal owners|a sale of stock|interest rates|one percent of the market|forty-two ships|"
    "a naïve plan|McDonald's offer|the whole site|no further details|its board's approval|mail orders|eight contracts"
)
TAILS = (
    "in the third quarter|last week|on Monday|for the first time|because of weak demand|by the end of the year|"
    "despite higher costs|to meet the standards|after a vote|at the same time|, he said|<noise>|in New York|here"
)
SIMILAR = (  # words that recognisers take for one another
    "the a an|two to too|their there they're|its it's|effect affect|accept except|sale sell sail|week weak|new knew|"
    "right write|whole hole|eight ate|principal principle|bought brought|in and|price prize|owners honors|cite site|"
    "said say says|higher hire|ships chips|mail male|one won|offer offers|will well|for four forty|here hear|by buy"
)
ODD = "a/b|x*|y**|*|}|--|(uh)|\"|%s|<noise>|Über|é|É|naïve\u00a0x|&&|'n'|-dash|wor-|[x]|a:b|日本|a,b=c"


def main() -> int:
    """Run, print the table, and return whether all lines are equal."""
    forgiving_output()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5000, help="of each kind (default 5000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="directory for the files of sets that differ")
    args = parser.parse_args()
    program = sclite.find()
    if not program:
        print("no sclite here; install it (Debian: sctk) or name it in $SCLITE", file=sys.stderr)
        return 2
    generator = random.Random(args.seed)
    sets = {"random": list(random_sets(generator, args.pairs)), "realistic": [realistic(generator, args.pairs)]}
    print("kind       tokens  id form  case       sets  utterances     lines   equal    differ  seconds")
    wrong = 0
    settings = product(sets, (False, True), sclite.ID_FORMS, (False, True))
    for number, (kind, chars, id_form, case_sensitive) in enumerate(settings):
        began = time.perf_counter()
        lines: Counter[bool] = Counter()
        for place, pairs in enumerate(sets[kind]):
            with tempfile.TemporaryDirectory() as scratch:
                names = ids(random.Random(args.seed + place), len(pairs), id_form)
                found = compare(program, Path(scratch), pairs, names, case_sensitive, id_form, chars)
                lines += found
                if found[False] and args.keep:
                    Path(scratch).rename(Path(args.keep) / f"{number}-{place}")
                    Path(scratch).mkdir()
        wrong += lines[False]
        tokens, case = ("char" if chars else "word"), ("sensitive" if case_sensitive else "ignored")
        size = sum(map(len, sets[kind]))
        print(
            f"{kind:9}  {tokens:6}  {id_form:7}  {case:9}  {len(sets[kind]):4}  {size:10}  {lines.total():8}"
            f"  {100 * lines[True] / lines.total():6.2f}%  {lines[False]:6}  {time.perf_counter() - began:7.1f}"
        )
    return int(wrong > 0)


def compare(
    program: str, scratch: Path, pairs: list[Pair], names: list[str], case_sensitive: bool, id_form: str, chars: bool
) -> Counter[bool]:
    """Lines of all reports that are equal (True) and not, for one set; ref.trn and hyp.trn are left in `scratch`."""
    sides = [[Line(name, tuple(pair[side])) for name, pair in zip(names, pairs, strict=True)] for side in (0, 1)]
    for file, lines in zip(("ref.trn", "hyp.trn"), sides, strict=True):
        write_trn(scratch / file, lines)
    ref, hyp = ([characters(line.words) if chars else line.words for line in side] for side in sides)
    steps = align_words(ref, hyp, case_sensitive)
    aligned = [sclite.Aligned(*one) for one in zip(names, ref, hyp, steps, strict=True)]
    kinds = trusted(longest_word(aligned), OPTIONS)
    assert len(kinds) == len(OPTIONS)
    theirs = real_reports(program, scratch, case_sensitive, id_form, chars, kinds)
    ours = reports(aligned, case_sensitive, id_form, chars, kinds)
    equal: Counter[bool] = Counter()
    for kind in kinds:
        both = (undated(report).splitlines(keepends=True) for report in (ours[kind], theirs[kind]))
        equal.update(left == right for left, right in zip_longest(*both))
    return equal


def ids(generator: random.Random, count: int, id_form: str) -> list[str]:
    """Ids of one form, by few or many speakers in any order."""
    speakers = generator.choice([1, 3, 40, 400])
    width = generator.choice([0, 12])  # of padding in front of the speaker's number
    join = {"rm": "-", "spu_id": generator.choice("-_"), "wsj": "c"}[id_form]
    names = []
    for number in range(count):
        speaker = generator.randrange(speakers)
        name = f"{speaker:03x}"[:3] if id_form == "wsj" else generator.choice("Ss") + f"{speaker:0{width}}"
        names.append(f"{name}{join}{number:05}")
    return names


def random_sets(generator: random.Random, count: int) -> Iterator[list[Pair]]:
    """Sets of unlike vocabularies, lengths and sizes, `count` pairs altogether."""
    odd = ODD.split("|")
    while count > 0:
        vocabulary = [chr(97 + k) * generator.randint(1, 3) for k in range(generator.choice([1, 2, 4, 20]))]
        vocabulary += [*generator.sample(odd, generator.choice([0, 3, len(odd)])), vocabulary[0].upper()]
        lengths = generator.choice([(0, 1), (0, 3), (1, 8), (10, 30), (100, 200)])
        size = min(count, generator.choice([1, 10, 50, 200]))
        count -= size
        pairs = []
        for _ in range(size):
            sides = [[generator.choice(vocabulary) for _ in range(generator.randint(*lengths))] for _ in range(2)]
            pairs.append((sides[0], sides[1]))
        yield pairs


def realistic(generator: random.Random, count: int, rate: float = 0.15) -> list[Pair]:
    """English sentences, and what a recogniser with this error rate might make of them."""
    similar = {word: group.split() for group in SIMILAR.split("|") for word in group.split()}
    parts = [part.split("|") for part in (SUBJECTS, VERBS, OBJECTS, TAILS)]
    every = [word for part in parts for phrase in part for word in phrase.split()]
    pairs = []
    for _ in range(count):
        phrases = [generator.choice(part) for part in parts]
        if generator.random() < 0.5:
            phrases += ["and", *(generator.choice(part) for part in parts)]
        ref = " ".join(phrases).split()
        pairs.append((ref, heard(generator, ref, similar, every, rate)))
    return pairs


def heard(
    generator: random.Random, words: list[str], similar: dict[str, list[str]], every: list[str], rate: float
) -> list[str]:
    """The words with errors: six in ten substitutions, two deletions, two insertions."""
    result = []
    for word in words:
        draw = generator.random() / rate
        if draw >= 0.8:
            result.append(word)
        elif draw >= 0.2:
            result.append(generator.choice(similar.get(word, [word + "s", word[:-1] or "a", *every[:9]])))
        if generator.random() < 0.2 * rate:
            result.append(generator.choice(every))
    return result


if __name__ == "__main__":
    sys.exit(main())
