"""Tables over seeds: what each objective gives, whether that is beyond noise, and whether its students need a beam."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kdasr.report.collect import (
    Kind,
    Scored,
    System,
    groups,
    is_baseline,
    label_of,
    measure_of,
    sets,
    sets_of_modes,
    tags,
    teacher_of,
)
from kdasr.score.intervals import Paired, over_seeds, seeds_apart
from kdasr.score.measures import WER, Measure

NONE = "-"
LEAST_GAP = 1.0  # points of WER or BLEU between the student on references and the teacher
MODES = (
    "Does it need a beam (Kim and Rush 2016, Table 1)? PPL: perplexity a token of the attention decoder on the "
    "references. p(t = ŷ): the probability in percent that it gives to its own best hypothesis of that search, mean "
    "over utterances. With several seeds: mean ± standard deviation."
)

Key = tuple[str, str]  # (tag, set), as in System.scored
Table = list[list[str]]  # the first row is the header


def comparison_note(measure: Measure) -> str:
    """What stands below the comparison with the student on references."""
    return (
        f"Differences in points of {measure.name}, {measure.better} where the system is better; from the student on "
        "references of the same network, where there are several. The interval is a paired bootstrap over "
        f"{measure.resampled}; with two seeds or more on each side the difference "
        "must also exceed the spread over seeds (Welch's 95 % interval) to count as beyond noise. With one seed it is "
        "said of these very networks, not of the method. Gap closed: (student on references - system) / (student on "
        "references - teacher), its interval over the students' seeds (with one seed, the bootstrap's): how far "
        f"teachers differ from each other is not in it.{measure.known}"
    )


def summary_note(measure: Measure) -> str:
    """What stands below the summary."""
    return (
        f"{measure.name}{' in percent' if measure.unit else ''}, mean ± standard deviation over runs: seeds, and "
        "these again where another machine's rounding gave another model. Gap closed: see below the comparison with "
        "the student on references."
    )


def summary_table(every: list[System], found: list[Against]) -> Table:
    """A row a kind: how many runs, how small, the mean score of each set and tag, and the gap closed by beam search."""
    keys = [(tag, name) for name in sets(every) for tag in tags(every)]
    beams = [key for key in keys if key[0] != "greedy"]
    closed = {(one.kind, one.tag, one.set): share(one.gap) for one in found}
    table = [["system", "runs", "parameters", "of teacher", *(f"{name} {tag}" for tag, name in keys)]]
    table[0] += [f"gap closed, {name} {tag}" for tag, name in beams]
    for kind, members in groups(every).items():
        rates = [[rate for _, rate in seed_rates(members, key)] for key in keys]
        if not any(rates):
            continue
        row = [label_of(members), str(max(map(len, rates))), size(members[0]), ratio(members[0], every)]
        row += map(_mean, rates)
        table.append(row + [closed.get((kind, *key), NONE) for key in beams])
    return table


def brief_table(every: list[System], found: list[Against]) -> Table:
    """Of the summary what a terminal has room for: how small, the main set's scores, and the gap closed."""
    table = summary_table(every, found)
    main = main_key(every)
    if main is None:
        return table[:1]
    kept = {"system": f"{measure_of(every).name}, {main[1]}", "of teacher": "of teacher"}
    kept |= {f"{main[1]} {tag}": tag for tag in tags(every)} | {f"gap closed, {main[1]} {main[0]}": "gap closed"}
    columns = [number for number, name in enumerate(table[0]) if name in kept]
    rows = [[row[column] for column in columns] for row in table]
    return [[kept[name] for name in rows[0]], *rows[1:]]


def seed_table(every: list[System]) -> Table:
    """A row for each kind that has several runs and each set and tag: mean, deviation, every run's score by seed."""
    score = measure_of(every).name
    table = [["system", "set", "tag", f"{score} mean ± sd", "95 % interval of the mean", f"{score} by seed"]]
    for members in groups(every).values():
        if sum(bool(one.scored) for one in members) < 2:
            continue
        for name in sets(members):
            for tag in tags(members):
                rates = seed_rates(members, (tag, name))
                if not rates:
                    continue
                spread = over_seeds([rate for _, rate in rates])
                mean = f"{spread.mean:.2f}" + (NONE if spread.sd is None else f" ± {spread.sd:.2f}")
                between = NONE if spread.low is None else f"{spread.low:.2f} to {spread.high:.2f}"
                each = ", ".join(f"{seed}: {rate:.2f}" for seed, rate in rates)
                mean = mean if spread.sd is not None else f"{spread.mean:.2f}"
                table.append([label_of(members), name, tag, mean, between, each])
    return table


@dataclass(frozen=True)
class Against:
    """Students of a kind against the baseline, on one set with one tag; scores and differences in points."""

    kind: Kind
    label: str
    set: str
    tag: str
    result: Paired | None  # None: other utterances or another signature
    apart: tuple[float, float] | None = None  # Welch's interval over seeds
    gap: tuple[float, float, float] | None = None  # share of the gap closed, and its interval

    @property
    def beyond_noise(self) -> bool:
        """Whether neither the bootstrap's interval nor, with seeds, that over seeds holds zero."""
        over = self.apart is None or not self.apart[0] <= 0 <= self.apart[1]
        return self.result is not None and self.result.beyond_noise and over


def against_references(every: list[System]) -> list[Against]:
    """Each other kind of student on each set and tag that both it and the baseline have."""
    measure, found = measure_of(every), []
    for kind, members in groups([one for one in every if not one.is_teacher]).items():
        base, label = base_of(every, members), label_of(members)
        if not base or is_baseline(members[0]):
            continue
        for name in sets(members):
            for tag in tags(members):
                rates = [[rate for _, rate in seed_rates(side, (tag, name))] for side in (base, members)]
                if not all(rates):
                    continue
                result = _compared(base, members, (tag, name))
                if result is None:
                    found.append(Against(kind, label, name, tag, None))
                    continue
                apart = seeds_apart(*rates)
                theirs = [_rate(teacher_of(one, every), (tag, name)) for one in members if (tag, name) in one.scored]
                known = [rate for rate in theirs if rate is not None]
                gap = _gap(result, apart, over_seeds(rates[0]).mean, known, measure)
                found.append(Against(kind, label, name, tag, result, apart, gap))
    return found


def main_key(every: Sequence[System]) -> Key | None:
    """The search and set that the page begins with: joint beam search before others, test sets before development."""
    keys = {key for one in every for key, scored in one.scored.items() if scored.rate is not None}

    def worth(key: Key) -> tuple[bool, bool, bool, str, str]:
        tag, name = key
        development = re.search(r"(^|_)(dev|valid|val|cv)", name) is not None
        return not development, tag == "beam", tag != "greedy", name, tag

    return max(keys, key=worth, default=None)


def base_of(every: list[System], members: list[System]) -> list[System]:
    """The baseline that students of a kind are compared with: that of their network's name or size, else the first."""
    bases = list(groups([one for one in every if is_baseline(one)]).values())

    def likeness(group: list[System]) -> tuple[bool, bool]:
        sizes = {side[0].info.get("parameters") for side in (group, members)}
        return group[0].network == members[0].network, len(sizes) == 1

    return max(bases, key=likeness, default=[])


def comparison(found: list[Against]) -> Table:
    """A row for each other student, set and tag: its score less that of the student on references."""
    table = [["system", "set", "tag", "difference", "95 % interval", "p", "over seeds", "beyond noise", "gap closed"]]
    for one in found:
        key = [one.label, one.set, one.tag]
        result = one.result
        if result is None:
            table.append([*key, NONE, NONE, NONE, NONE, "other utterances or signature", NONE])
            continue
        row = [*key, f"{result.difference:+.2f}", f"{result.low:+.2f} to {result.high:+.2f}", f"{result.p:.4f}"]
        row.append(NONE if one.apart is None else f"{one.apart[0]:+.2f} to {one.apart[1]:+.2f}")
        verdict = "no" if not one.beyond_noise else "yes" if one.apart is not None else "yes (one seed)"
        table.append([*row, verdict, share(one.gap)])
    return table


def share(gap: tuple[float, float, float] | None) -> str:
    """A share of the gap and its interval."""
    return NONE if gap is None else f"{gap[0]:.2f} [{gap[1]:.2f}, {gap[2]:.2f}]"


def mode_table(every: list[System]) -> Table:
    """A row for each kind, set and beam search: what the beam gains, perplexity, and the mode's probability.

    Empty but for its header if no model says its perplexity or its mode's probability.
    """
    measure = measure_of(every)
    score = measure.name
    gain = f"{score} - greedy" if measure.higher_is_better else f"greedy - {score}"
    table = [["system", "set", "tag", f"greedy {score}", score, gain, "PPL", "p(t = ŷ)"]]
    told = 0
    for members in groups(every).values():
        for name in sets_of_modes(members):
            beams = [
                tag for tag in tags(members) if tag != "greedy" and any((tag, name) in one.scored for one in members)
            ]
            for tag in beams or ["greedy"]:
                columns = _mode_columns(members, name, tag, measure)
                if any(columns):
                    told += any(columns[3:])
                    table.append([label_of(members), name, tag, *map(_mean, columns)])
    return table if told else table[:1]


def _mode_columns(members: list[System], name: str, tag: str, measure: Measure) -> list[list[float]]:
    """Scores, greedy and by beam; what the beam gains; perplexity; the mode's probability, percent: of who has them."""
    rates = [[_rate(one, (kind, name)) for one in members] for kind in ("greedy", tag)]
    gains = [None if None in pair else measure.gain(pair[1], pair[0]) for pair in zip(*rates, strict=True)]
    ppls = [one.ppl.get(name, {}).get("ppl") for one in members]
    found = [one.scored.get((tag, name)) for one in members]
    modes = [scored.decode.get("mode_probability") if scored else None for scored in found]
    if tag == "greedy":
        rates[1], gains = [], []  # there is no beam to compare with
    columns = [*rates, gains, ppls, [None if mode is None else 100 * mode for mode in modes]]
    return [[value for value in column if value is not None] for column in columns]


def _gap(
    result: Paired, apart: tuple[float, float] | None, base: float, teachers: list[float], measure: Measure = WER
) -> tuple[float, float, float] | None:
    """The share of what separates the student on references from the teachers that students make up for.

    Its interval is that over seeds, or of the bootstrap where there are none. Of less than LEAST_GAP there is no share.
    """
    teacher = sum(teachers) / len(teachers) if teachers else base
    whole = measure.gain(teacher, base)
    if whole < LEAST_GAP:
        return None
    low, high = apart or (result.low, result.high)
    middle, *ends = (measure.sign * change / whole for change in (result.difference, low, high))
    return middle, min(ends), max(ends)


def _rate(system: System | None, key: tuple[str, str]) -> float | None:
    scored = system.scored.get(key) if system else None
    return scored.rate if scored else None


def _mean(values: list[float]) -> str:
    """Mean and standard deviation of what the seeds have."""
    if not values:
        return NONE
    spread = over_seeds(values)
    return f"{spread.mean:.2f}" + ("" if spread.sd is None else f" ± {spread.sd:.2f}")


def seed_rates(members: list[System], key: tuple[str, str]) -> list[tuple[str, float]]:
    """(seed, score) of those that have one."""
    rates = [(one.seed, _rate(one, key)) for one in members]
    return [(seed, rate) for seed, rate in rates if rate is not None]


def _compared(first: list[System], second: list[System], key: tuple[str, str]) -> Paired | None:
    """Paired bootstrap of two kinds on one set; None unless both scored the same utterances by the same rules."""
    sides = [[s for one in members if (s := one.scored.get(key)) and s.utterances] for members in (first, second)]
    if not all(sides):
        return None
    scores: list[Scored] = sides[0] + sides[1]
    words = {name: count for name, (_, count, *_) in scores[0].utterances.items()}
    for one in scores:
        same = {name: count for name, (_, count, *_) in one.utterances.items()} == words
        if not same or one.score.get("signature") != scores[0].score.get("signature"):
            return None
    first_runs, second_runs = ([[one.utterances[name] for name in words] for one in side] for side in sides)
    return scores[0].measure.paired(first_runs, second_runs)


def size(system: System) -> str:
    """A system's parameters, and how many of them are not zero if it was pruned."""
    parameters, left = system.info.get("parameters"), system.info.get("non_zero")
    if parameters is None:
        return NONE
    return f"{parameters:,}" if left is None else f"{left:,} of {parameters:,}"


def ratio(system: System, every: list[System]) -> str:
    """A system's parameters that are not zero as a part of its teacher's."""
    teacher = teacher_of(system, every)
    mine, whole = weights(system), weights(teacher) if teacher else None
    if not mine or not whole:
        return NONE
    return "1" if teacher is system else f"1/{whole / mine:.1f}"


def weights(system: System) -> int | None:
    """Parameters that are not zero."""
    left = system.info.get("non_zero")
    return system.info.get("parameters") if left is None else left
