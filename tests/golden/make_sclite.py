"""Make the golden files here from the real sclite: `python tests/golden/make_sclite.py` (needs sctk installed).

Each directory sclite_NAME holds ref.trn and hyp.trn, drawn with a fixed seed, and result.txt, what
`sclite -r ref.trn trn -h hyp.trn trn -i rm [-s] -o sum rsum pra stdout` printed for them (SCTK 2.4.10 of Debian 12).
"""

import random
import subprocess
from pathlib import Path

from kdasr.score import sclite
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


def draw(seed, vocabulary, speakers, utterances, lengths, rate):
    """Reference and hypothesis lines; no line begins with '**', which sclite would skip."""
    generator = random.Random(seed)
    pair = [], []
    for number in range(utterances):
        ref = [generator.choice(vocabulary) for _ in range(generator.randint(*lengths))]
        name = f"{generator.choice(speakers)}-u{number:03d}"
        for lines, words in zip(pair, (ref, side(generator, ref, vocabulary, rate)), strict=True):
            lines.append(Line(name, tuple(words)))
    return pair


CASES = {
    "few": (draw(1, list("abcd"), ["s1", "s2", "s3"], 30, (0, 9), 1.2), False),
    "news": (draw(2, WORDS, [f"{k:03x}" for k in range(0x440, 0x44A)], 60, (3, 25), 0.3), False),
    "odd": (draw(3, WORDS + ODD, ["Alice", "bob-b", "a_speaker_with_a_long_name", "é"], 30, (0, 8), 0.8), False),
    "case": (draw(4, [*WORDS, *map(str.upper, WORDS)], ["S1", "s1"], 20, (1, 8), 0.8), True),
    "nothing": (draw(12, list("ab"), ["s1", "s2", "s3", "s4", "s5", "s6"], 12, (0, 1), 2.0), False),
    "long": (draw(6, WORDS, ["s1"], 2, (250, 300), 0.3), False),
}


def main():
    program = sclite.find()
    assert program, "install sctk first"
    for name, (pair, case_sensitive) in CASES.items():
        directory = HERE / f"sclite_{name}"
        directory.mkdir(exist_ok=True)
        for file, lines in zip(("ref.trn", "hyp.trn"), pair, strict=True):
            write_trn(directory / file, lines)
        (directory / "result.txt").write_bytes(sclite.run_real(program, directory, case_sensitive))


if __name__ == "__main__":
    main()
    print(subprocess.run(["du", "-sh", str(HERE)], capture_output=True, text=True, check=True).stdout)
