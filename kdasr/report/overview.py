"""The page's table of systems: a row a kind, means over seeds, and below it a row for each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdasr.report.collect import System, groups, label_of, measure_of, sets, tags, teacher_of
from kdasr.report.compare import NONE, Against, Key, seed_rates, share, weights
from kdasr.report.headline import interval, times
from kdasr.report.pace import Pace, pace_of
from kdasr.report.table import duration
from kdasr.score.intervals import over_seeds


@dataclass(frozen=True)
class Column:
    """A column; `keys` are the (tag, set) under which it is shown, none for one that always is."""

    title: str
    below: str = ""
    keys: tuple[Key, ...] = ()
    set: str = ""
    rising: bool = False  # more is better, and stands first when the table is sorted by it


@dataclass(frozen=True)
class Cell:
    """What a cell says, a second line, and what it is sorted by."""

    text: str = NONE
    below: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Row:
    """A kind, or one of its seeds; cells stand below the columns."""

    number: int  # of the kind, from 0: its colour and shape in all pictures
    name: str
    below: str
    cells: list[Cell]
    seeds: tuple[Row, ...] = ()


def overview(every: list[System], found: Sequence[Against]) -> tuple[list[Column], list[Row]]:
    """Columns and rows; the first column, the name, is not among them."""
    keys = [(tag, name) for name in sets(every) for tag in tags(every)]
    keys = [key for key in keys if any(key in one.scored for one in every)]
    speeds = [(tag, on_gpu) for on_gpu in (False, True) for tag in tags(every)]
    measure, pace = measure_of(every), pace_of(every)
    speeds = [(tag, gpu) for tag, gpu in speeds if any(pace.cost(one, tag, gpu) is not None for one in every)]
    closed = {(one.tag, one.set) for one in found if one.gap}
    columns = [Column("× smaller", rising=True)]
    for tag, name in keys:
        shown = ((tag, name),)
        columns.append(Column(measure.name, tag, shown, name, measure.higher_is_better))
        columns += [Column("gap closed", tag, shown, name, True)] if (tag, name) in closed else []
        columns += [Column("CER", tag, shown, name)] if measure.of_errors else []
    for tag, gpu in speeds:
        shown = tuple(key for key in keys if key[0] == tag)
        columns.append(Column(pace.title, f"{tag}, {'GPU' if gpu else 'CPU'}", shown, rising=pace.inverse))
    columns += [Column("parameters"), Column("MB", "on disk"), Column("training", "CPU time")]

    def row(number: int, members: list[System], name: str, below: str, seeds: tuple[Row, ...] = ()) -> Row:
        smaller, *size = _size(members[0], every)
        cells = [smaller]
        for key in keys:
            cells.append(_score(members, key))
            if key in closed:
                one = next((a for a in found if (a.kind, a.tag, a.set) == (members[0].kind, *key)), None)
                cells.append(_gap(one) if one and below != "seed" else Cell())
            cells += [_cer(members, key)] if measure.of_errors else []
        cells += [_speed(members, tag, gpu, pace) for tag, gpu in speeds]
        return Row(number, name, below, [*cells, *size, _training(members)], seeds)

    rows = []
    for number, members in enumerate(groups(every).values()):
        each = tuple(row(number, [one], _seed_name(one), "seed") for one in members) if len(members) > 1 else ()
        kind = "seeds" if len({one.info.get("seed") for one in members}) == len(members) else "runs"
        many = f"{len(members)} {kind}" if len(members) > 1 else _seed_name(members[0])
        rows.append(row(number, members, label_of(members), many, each))
    return columns, rows


def _seed_name(system: System) -> str:
    seed = system.info.get("seed")
    return system.name if seed is None else f"seed {seed}"


def _size(system: System, every: list[System]) -> list[Cell]:
    """How many times smaller than the teacher, in parameters and on disk; parameters that are not zero; megabytes."""
    count, whole = weights(system), system.info.get("parameters")
    size = [Cell()] if count is None else [Cell(f"{count:,}", f"of {whole:,}" if count != whole else "", count)]
    size.append(Cell(f"{system.bytes / 1e6:.1f}", "", system.bytes) if system.bytes else Cell())
    teacher = teacher_of(system, every)
    if teacher is system:
        return [Cell("1", "", 1.0), *size]
    of_teacher = weights(teacher) if teacher else None
    if not teacher or not count or not of_teacher:
        return [Cell(), *size]
    on_disk = f"{times(teacher.bytes / system.bytes)} on disk" if teacher.bytes and system.bytes else ""
    return [Cell(times(of_teacher / count), on_disk, of_teacher / count), *size]


def _score(members: list[System], key: Key) -> Cell:
    rates = [rate for _, rate in seed_rates(members, key)]
    if not rates:
        return Cell()
    low, high = interval(members, key)
    below = "" if low is None or high is None else f"[{low:.1f}, {high:.1f}]"
    return Cell(_mean(rates), below, over_seeds(rates).mean)


def _cer(members: list[System], key: Key) -> Cell:
    found = [one.scored[key].cer.get("cer") for one in members if key in one.scored]
    rates = [rate for rate in found if rate is not None]
    if not rates:
        return Cell()
    ends = members[0].scored[key].cer.get("interval95") if len(members) == 1 and key in members[0].scored else None
    return Cell(_mean(rates), f"[{ends[0]:.1f}, {ends[1]:.1f}]" if ends else "", over_seeds(rates).mean)


def _gap(one: Against) -> Cell:
    if one.gap is None:
        return Cell()
    text, _, ends = share(one.gap).partition(" ")
    return Cell(text, ends if one.beyond_noise else f"{ends} noise", one.gap[0])


def _speed(members: list[System], tag: str, on_gpu: bool, pace: Pace) -> Cell:
    costs = [one for one in (pace.cost(system, tag, on_gpu) for system in members) if one is not None]
    if not costs:
        return Cell()
    mean = sum(costs) / len(costs)
    below = f"{times(1 / mean)} × real time" if mean and not pace.inverse else ""
    return Cell(pace.figure(mean, 4), below, pace.value(mean))


def _training(members: list[System]) -> Cell:
    """CPU seconds, and seconds by the clock, means over seeds."""
    means = []
    for key in ("cpu_seconds", "train_seconds"):
        values = [one.info[key] for one in members if one.info.get(key) is not None]
        means.append(sum(values) / len(values) if values else None)
    cpu, wall = means
    if cpu is None:
        return Cell(NONE if wall is None else "", "" if wall is None else f"{duration(wall)} by the clock", wall)
    return Cell(duration(cpu), "" if wall is None else f"{duration(wall)} by the clock", cpu)


def _mean(values: Sequence[float]) -> str:
    spread = over_seeds(values)
    return f"{spread.mean:.2f}" + ("" if spread.sd is None else f" ± {spread.sd:.2f}")
