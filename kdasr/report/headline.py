"""The one thing that people ask of a distillation run: how small, how fast, how good. And what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kdasr.report.collect import (
    System,
    groups,
    is_baseline,
    is_pruned,
    label_of,
    learned_references,
    measure_of,
    sets,
    tags,
    teacher_of,
)
from kdasr.report.compare import Against, Key, base_of, main_key, seed_rates, weights
from kdasr.report.pace import Pace, pace_of
from kdasr.score.intervals import over_seeds
from kdasr.score.measures import Measure

FEW_WORDS = 2000  # a set with fewer reference words is said to be small


@dataclass(frozen=True)
class Bar:
    """One line of a small picture: whose, how much, and how it is written."""

    who: str  # teacher, student, references
    value: float
    text: str
    low: float | None = None  # 95 % interval
    high: float | None = None


@dataclass(frozen=True)
class Answer:
    """One question, its answer in a few words, and the bars that show it."""

    question: str
    answer: str
    told: str
    bars: list[Bar]

    @property
    def most(self) -> float:
        """The end of the longest bar or interval."""
        return max([bar.value for bar in self.bars] + [bar.high for bar in self.bars if bar.high is not None])


@dataclass(frozen=True)
class Headline:
    """The best student against its teacher on one set with one search."""

    key: Key
    student: str  # label; "" without a student that was scored
    teacher: System | None
    sentence: str
    answers: list[Answer]
    cautions: list[str] = field(default_factory=list)


def candidates(every: Sequence[System], key: Key) -> list[list[System]]:
    """The kinds that may stand in the headline, by seeds: of students that a teacher taught, or of all if none was.

    Where some have several seeds, the others are not looked at: the best of single runs is mostly luck.
    """
    students = [one for one in every if not one.is_teacher and not is_baseline(one)]
    taught = [one for one in students if one.info.get("teacher") and not learned_references(one)]
    for pool in (taught, students, [one for one in every if not one.is_teacher]):
        found = [members for members in groups(pool).values() if mean(members, key) is not None]
        if found:
            return [members for members in found if len(seed_rates(members, key)) > 1] or found
    return []


def best_student(every: Sequence[System], key: Key) -> list[System]:
    """The candidate of the best mean score."""
    sign = measure_of(every).sign
    return min(candidates(every, key), key=lambda members: -sign * (mean(members, key) or 0.0), default=[])


def headline(every: list[System], found: list[Against]) -> Headline | None:
    """What the page says first; None without any score."""
    key = main_key(every)
    if key is None:
        return None
    members = best_student(every, key)
    if not members:
        return Headline(key, "", None, "No student has been scored yet.", [])
    of_each = {one.name: one for member in members if (one := teacher_of(member, every))}
    teachers = [one for one in of_each.values() if mean([one], key) is not None]
    teacher = teachers[0] if teachers else None
    base = base_of(every, members)
    base = base if mean(base, key) is not None and base[0].kind != members[0].kind else []
    against = next((one for one in found if (one.kind, one.tag, one.set) == (members[0].kind, *key)), None)
    answers = [
        one
        for one in (
            _small(members, teacher),
            _fast(members, teacher, key, pace_of(every)),
            _good(members, teachers, base, against, key, measure_of(every)),
        )
        if one
    ]
    sentence = _sentence(members, teachers, answers, key, measure_of(every))
    shown = Headline(key, label_of(members), teacher, sentence, answers)
    shown.cautions.extend(_cautions(every, members, teachers, base, against, key))
    return shown


def mean(members: Sequence[System], key: Key) -> float | None:
    """Mean score over seeds."""
    rates = [rate for _, rate in seed_rates(list(members), key)]
    return over_seeds(rates).mean if rates else None


def times(value: float) -> str:
    """A factor: 10.4, or 23 where the digit behind the point says nothing."""
    return f"{value:.1f}" if value < 20 else f"{value:.0f}"


def _small(members: Sequence[System], teacher: System | None) -> Answer | None:
    mine, whole = weights(members[0]), weights(teacher) if teacher else None
    if not mine:
        return None
    bars = [Bar("student", mine, f"{mine:,}")]
    told = "parameters" + (" that are not zero" if is_pruned(members[0]) else "")
    if members[0].bytes:
        told += f"; {members[0].bytes / 1e6:.1f} MB on disk"
    if not whole:
        return Answer("How small?", f"{mine:,}", told, bars)
    if teacher and teacher.bytes and members[0].bytes:
        told += f", the teacher {teacher.bytes / 1e6:.1f} MB"
    return Answer("How small?", f"{times(whole / mine)} × smaller", told, [Bar("teacher", whole, f"{whole:,}"), *bars])


def _fast(members: Sequence[System], teacher: System | None, key: Key, pace: Pace) -> Answer | None:
    for on_gpu in (False, True):
        factors = [pace.cost(one, key[0], on_gpu, key[1]) for one in members]
        factors = [one for one in factors if one]
        if not factors:
            continue
        mine = sum(factors) / len(factors)
        whole = pace.cost(teacher, key[0], on_gpu, key[1]) if teacher else None
        told = f"{'seconds by the clock, on a GPU,' if on_gpu else 'CPU seconds'} {pace.per}, {key[0]}"
        bars = [Bar("student", mine, pace.seconds(mine))]
        if not whole:
            alone = f"{pace.figure(mine, 4)} {pace.title}" if pace.inverse else f"{times(1 / mine)} × real time"
            return Answer("How fast?", alone, told, bars)
        ratio = whole / mine
        answer = f"{times(ratio)} × faster" if ratio >= 1 else f"{times(1 / ratio)} × slower"
        return Answer("How fast?", answer, told, [Bar("teacher", whole, pace.seconds(whole)), *bars])
    return None


def _good(
    members: Sequence[System],
    teachers: Sequence[System],
    base: Sequence[System],
    against: Against | None,
    key: Key,
    measure: Measure,
) -> Answer:
    bars = []
    for who, group in (("references", base), ("student", members), ("teacher", teachers)):
        rate = mean(group, key)
        if rate is not None:
            low, high = interval(group, key)
            low = None if low is None else max(low, 0.0)  # two runs that differ say little of their mean
            bars.append(Bar(who, rate, measure.figure(rate), low, high))
    told = f"{measure.name} on {key[1]}, {key[0]}"
    if against and against.gap:
        share, low, high = (100 * one for one in against.gap)
        told += f"; the gap between references alone and the teacher, 95 % interval {low:.0f} to {high:.0f} %"
        return Answer("How good?", f"{share:.0f} % of the gap closed", told, bars)
    rate = next(bar.text for bar in bars if bar.who == "student")
    return Answer("How good?", f"{rate} {measure.name}", told, bars)


def interval(members: Sequence[System], key: Key) -> tuple[float | None, float | None]:
    """95 % interval of a kind's score: over seeds if there are several, else of the bootstrap over utterances."""
    rates = [rate for _, rate in seed_rates(list(members), key)]
    if len(rates) > 1:
        spread = over_seeds(rates)
        return spread.low, spread.high
    told = [one.scored[key].score.get("interval95") for one in members if key in one.scored]
    return next(((float(low), float(high)) for low, high in filter(None, told)), (None, None))


def _sentence(
    members: Sequence[System], teachers: Sequence[System], answers: Sequence[Answer], key: Key, measure: Measure
) -> str:
    told = measure.told(mean(members, key) or 0.0)
    if not teachers:
        return f"{told} on {key[1]}; there is no teacher beside it to compare with."
    theirs = "the teacher has" if len(teachers) == 1 else f"{len(teachers)} teachers have"
    ending = f"{told} where {theirs} {measure.figure(mean(teachers, key) or 0.0)}."
    # what of the teacher is not known is compared with nothing
    facts = [one.answer for one in answers if one.question != "How good?" and one.bars[0].who == "teacher"]
    return f"{' and '.join(facts)} than its teacher, at {ending}" if facts else ending


def _cautions(
    every: Sequence[System],
    members: Sequence[System],
    teachers: Sequence[System],
    base: Sequence[System],
    against: Against | None,
    key: Key,
) -> list[str]:
    """What a reader should know before quoting the headline."""
    told, measure = [], measure_of(every)
    rivals = len(candidates(every, key))
    if rivals > 1:
        told.append(
            f"The best of {rivals} kinds of student, picked by this very figure, which is so a little too good."
        )
    seeds = [len(seed_rates(list(group), key)) for group in (members, base) if group]
    if min(seeds) < 2:
        told.append("One seed on one side: this is said of these very networks, not of the method.")
    if against and against.gap and len(teachers) == 1:
        told.append("There is one teacher: how far it would differ with another seed is not in the intervals.")
    elif against and against.gap and teachers:
        rates = [rate for _, rate in seed_rates(list(teachers), key)]
        told.append(
            f"Its teachers have {min(rates):.2f} to {measure.figure(max(rates))}: the gap is that to their mean, and "
            "how far they differ is not in its interval."
        )
    if against and against.result is None:
        told.append("It was not scored on the same utterances by the same rules as the student on references.")
    elif against and not against.beyond_noise:
        told.append("Its difference from the student on references is not beyond noise.")
    words = max((one.scored[key].words for one in members if key in one.scored), default=0)
    if 0 < words < FEW_WORDS:
        each = f", so one error is {100 / words:.2f} points" if measure.of_errors else ""
        told.append(f"A small set: {words:,} words{each}.")
    for name in sets(list(every)):
        for tag in tags(list(every)):
            signatures = {
                one.scored[tag, name].score.get("signature")
                for one in every
                if (tag, name) in one.scored and one.scored[tag, name].score
            }
            if len(signatures) > 1:
                told.append(f"Scores on {name}, {tag} were made by different rules (signatures): do not compare them.")
    return told


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The Pareto front, both coordinates the smaller the better: places of points that no other one beats, by x.

    A point is beaten by one that is no worse in either coordinate and better in one. Equal points are all kept.
    """
    order = sorted(range(len(points)), key=lambda k: points[k])
    kept: list[int] = []
    for k in order:
        if not kept or points[k][1] < points[kept[-1]][1] or points[k] == points[kept[-1]]:
            kept.append(k)
    return kept
