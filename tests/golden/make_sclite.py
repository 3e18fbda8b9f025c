"""Make the golden files here from the real sclite: `python tests/golden/make_sclite.py` (needs sctk installed).

Each directory sclite_NAME holds ref.trn and hyp.trn, drawn with a fixed seed, and what
`sclite -r ref.trn trn -h hyp.trn trn -i rm|wsj|spu_id [-s] [-e utf-8 -c] -o sum rsum pra dtl sgml prf` made of them
(SCTK 2.4.10 of Debian 12): result.txt is its .sys, .raw and .pra; the dates of .sgml and .prf are taken out.
"""

import random
import subprocess
from pathlib import Path

from kdasr.score import sclite
from kdasr.score.detail import real_reports, undated
from kdasr.score.trn import Line, write_trn

HERE = Path(__file__).parent
WORDS = ["the", "market", "of", "stocks", "and", "bonds", "rose", "fell", "by", "three", "on", "Monday", "McKay"]
ODD = [
    "a/b",
    "x*",
    "y**",
    "*",
    "}",
    "--",
    "(uh)",
    '"',
    "%s",
    "<noise>",
    "<space>",
    "Über",
    "é",
    "naïve\u00a0x",
    "w" * 39,
]


def side(generator, ref, vocabulary, rate):
    """A hypothesis for `ref` with substitutions, deletions and insertions, `rate` / 3 a word each."""
    hyp = []
    for word in ref:
        draw = generator.random()
        if draw > rate / 3:
            hyp.append(word)
        elif draw > rate / 6:
            hyp.append(generator.choice(vocabulary))
        if generator.random() < rate / 3:
            hyp.append(generator.choice(vocabulary))
    return hyp


def draw(seed, vocabulary, speakers, utterances, lengths, rate, join="-u"):
    """Reference and hypothesis lines; no line begins with '**', which sclite would skip."""
    generator = random.Random(seed)
    pair = [], []
    for number in range(utterances):
        ref = [generator.choice(vocabulary) for _ in range(generator.randint(*lengths))]
        name = f"{generator.choice(speakers)}{join}{number:03d}"
        for lines, words in zip(pair, (ref, side(generator, ref, vocabulary, rate)), strict=True):
            lines.append(Line(name, tuple(words)))
    return pair


def without_words(pair):
    """The pair with empty references."""
    return [Line(line.id, ()) for line in pair[0]], pair[1]


CASES = {  # the pair, and options of the reports
    "few": (draw(1, list("abcd"), ["s1", "s2", "s3"], 30, (0, 9), 1.2), {}),
    "news": (draw(2, WORDS, [f"{k:03x}" for k in range(0x440, 0x44A)], 60, (3, 25), 0.3), {}),
    "odd": (draw(3, WORDS + ODD, ["Alice", "bob-b", "a_speaker_with_a_long_name", "é"], 30, (0, 8), 0.8), {}),
    "case": (draw(4, [*WORDS, *map(str.upper, WORDS)], ["S1", "s1"], 20, (1, 8), 0.8), {"case_sensitive": True}),
    "nothing": (draw(12, list("ab"), ["s1", "s2", "s3", "s4", "s5", "s6"], 12, (0, 1), 2.0), {}),
    "void": (without_words(draw(13, list("ab"), ["s1", "s2"], 4, (0, 2), 2.0)), {}),
    "long": (draw(6, WORDS, ["s1"], 2, (250, 300), 0.3), {}),
    "wsj": (draw(7, WORDS, ["4k1c", "4k2c", "4K1C", "ab-"], 20, (1, 8), 0.5, ""), {"id_form": "wsj"}),
    "spu_id": (draw(8, WORDS, ["s_1", "S", "t-1"], 20, (1, 8), 0.5, "_"), {"id_form": "spu_id"}),
    "chars": (draw(9, WORDS + ODD, ["s1", "s2"], 20, (0, 6), 0.5), {"chars": True}),
    "chars_case": (
        draw(10, [*WORDS, *map(str.upper, WORDS)], ["S1", "s1"], 10, (1, 90), 0.3),
        {"chars": True, "case_sensitive": True},
    ),
}


def main():
    program = sclite.find()
    assert program, "install sctk first"
    for name, (pair, options) in CASES.items():
        directory = HERE / f"sclite_{name}"
        directory.mkdir(exist_ok=True)
        for file, lines in zip(("ref.trn", "hyp.trn"), pair, strict=True):
            write_trn(directory / file, lines)
        reports = real_reports(program, directory, **options, kinds=["sys", "raw", "pra", "dtl", "sgml", "prf"])
        (directory / "result.txt").write_bytes(reports["sys"] + reports["raw"] + reports["pra"])
        for kind in ("dtl", "sgml", "prf"):
            (directory / f"hyp.trn.{kind}").write_bytes(undated(reports[kind]))


if __name__ == "__main__":
    main()
    print(subprocess.run(["du", "-sh", str(HERE)], capture_output=True, text=True, check=True).stdout)
