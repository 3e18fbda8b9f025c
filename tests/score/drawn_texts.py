"""Random texts that are more than words: alternations, optional words, fragments; segments and words in time."""

import random

from kdasr.score.trn import Alternation, Line

VOCABULARIES = (
    ["a", "b", "c"],
    ["a", "b", "@"],
    ["a", "B", "b", "@", "(a)", "(b)", "a-", "-a"],
    ["ab", "abc", "ab-", "-bc", "(ab)", "(ab-)", "(-bc)", "-", "()", "(", "@", "b*", "(c)*", "@*", "Ab", "é"],
)


def text(generator, length, vocabulary, depth, rate):
    """Words, and with probability `rate` an alternation in a word's place, at most `depth` within each other."""
    return tuple(
        Alternation(
            tuple(
                text(generator, generator.randint(1, 3), vocabulary, depth - 1, rate)
                for _ in range(generator.randint(1, 3))
            )
        )
        if depth and generator.random() < rate
        else generator.choice(vocabulary)
        for _ in range(length)
    )


def networks(seed, utterances=60, vocabulary=None):
    """Reference and hypothesis lines with alternations, more of them in the reference."""
    generator = random.Random(seed)
    vocabulary = vocabulary or generator.choice(VOCABULARIES)
    longest = generator.choice([3, 8, 15])
    pair = [], []
    for number in range(utterances):
        for lines, rates in zip(pair, ([0, 0.3, 0.5], [0, 0, 0, 0.3]), strict=True):
            length, rate = generator.randint(0, longest), generator.choice(rates)
            lines.append(Line(f"s{number % 3}-{number}", text(generator, length, vocabulary, 3, rate)))
    return pair


def recordings(seed, words=("a", "b", "c", "Dd", "e*")):
    """An stm and a ctm of one to three recordings: gaps, ties in time, labels, ignored segments, words in gaps."""
    generator = random.Random(seed)
    ref, hyp = [";; comment"], []
    for file in range(generator.choice([1, 1, 2, 3])):
        for channel in generator.choice(["A", "AB", "1"]):
            time = 0.0
            for number in range(generator.choice([1, 2, 5, 20])):
                start = time + generator.choice([0, 0, 0.1, 0.5, 1])
                time = round(start + generator.choice([0.1, 0.3, 0.5, 1, 2]), 1)
                spoken = [
                    generator.choice([*words, *words, "{ a / b c / @ }", "(a)", "b-"])
                    for _ in range(generator.randint(0, 6))
                ]
                if number and generator.random() < 0.1:
                    spoken = ["ignore_time_segment_in_scoring"]
                speaker = generator.choice(["Bob", "sw-b", "x", "y_1"])
                labels = generator.choice(["", "", "<O,M> ", "<F0>\t"])
                ref.append(f"F{file} {channel} {speaker} {start:.1f}  {time} {labels}{' '.join(spoken)}")
            begin = 0.0
            while begin < time + 1:
                begin += generator.choice([0, 0.05, 0.1, 0.25, 0.5])
                word = generator.choice([*words, "@", "(a)", "bb"])
                hyp.append(f"F{file} {channel} {begin:.2f} {generator.choice([0, 0.1, 0.2, 0.3])}\t{word} 0.5")
                if generator.random() < 0.1:
                    hyp.append("; note")
    return "\n".join(ref) + "\n", "\n".join(hyp) + "\n"
