"""What a run of `kdasr nbest` cost, and whether it can be trusted: `report.json` beside the archive.

summary.json says what is in the archive (counts, why searches and hypotheses ended, word errors), and is the same
however the archive was made; report.json says how it was made, and each figure is in one of the two only:

    wall_seconds           while any process was at work (shards of several processes overlap; a break between a
                           killed run and the next does not count; nor does loading the model)
    process_seconds        the same, summed over processes
    cpu_seconds            summed over processes
    utterances_per_second, tokens_per_second (of the hypotheses written), rtfx (seconds of audio): by wall clock
    rtfx_cpu               seconds of audio a CPU second
    grid_fill              rows of utterances at work among the rows of the grid that were computed
    shares                 of process_seconds: encoder, decoder, ctc, language models, rest (reading, beam, spelling)
    peak_bytes             the most memory of a process: of its GPU, or resident
    check_single           if asked for: the identity with decoding each utterance alone
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdasr.files import read_json, write_json

FILE = "report.json"


def read(directory: str | Path) -> dict[str, Any]:
    """The report of an archive; UserError if there is none."""
    return read_json(Path(directory) / FILE)


def add(directory: str | Path, key: str, value: Mapping[str, Any]) -> None:
    """Put one more entry into an archive's report."""
    write_json(Path(directory) / FILE, {**read(directory), key: value})


def busy(intervals: Iterable[tuple[float, float]]) -> float:
    """Seconds covered by any of some intervals (begin, length)."""
    total, until = 0.0, float("-inf")
    for begin, length in sorted(intervals):
        total += max(0.0, begin + length - max(begin, until))
        until = max(until, begin + length)
    return total


def costs(stats: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> dict[str, Any]:
    """The report's figures from the stats of each shard, and the summary's counts."""
    wall = busy((one["begun"], one["wall_seconds"]) for one in stats)
    spent = sum(one["wall_seconds"] for one in stats)
    cpu = sum(one["cpu_seconds"] for one in stats)
    parts: Counter[str] = Counter()
    for one in stats:
        parts.update(one["parts"])
    rows = sum(one["grid_rows"] for one in stats)
    shares = {part: seconds / spent if spent else 0.0 for part, seconds in sorted(parts.items())}
    shares["rest"] = max(0.0, 1.0 - sum(shares.values()))

    def per(count: float, seconds: float) -> float:
        return round(count / seconds, 2) if seconds else 0.0

    return {
        "wall_seconds": round(wall, 3),
        "process_seconds": round(spent, 3),
        "cpu_seconds": round(cpu, 3),
        "utterances_per_second": per(summary["utterances"], wall),
        "tokens_per_second": per(summary["tokens"], wall),
        "rtfx": per(summary["audio_seconds"], wall),
        "rtfx_cpu": per(summary["audio_seconds"], cpu),
        "grid_fill": round(sum(one["grid_alive"] for one in stats) / rows, 4) if rows else 0.0,
        "shares": {part: round(share, 4) for part, share in shares.items()},
        "peak_bytes": max(one["peak_bytes"] for one in stats),
    }


def table(directory: str | Path, summary: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """Summary and report as lines for the terminal."""

    def listed(counts: Mapping[str, Any]) -> str:
        return ", ".join(f"{what} {count}" for what, count in counts.items())

    seconds = f"in {report['wall_seconds']:.1f} s ({report['cpu_seconds']:.1f} CPU s)"
    rates = f"{report['utterances_per_second']:.1f} utterances/s, {report['tokens_per_second']:.0f} tokens/s"
    if "source_tokens" in summary:
        rate = summary["source_tokens"] / (report["cpu_seconds"] or 1)
        given = f"  source      {summary['source_tokens']:,} tokens {seconds}"
        speed = f"{rate:,.0f} source tokens a CPU second"
    else:
        given = f"  audio       {summary['audio_seconds'] / 3600:.2f} h {seconds}"
        speed = f"{report['rtfx']:.1f} x real time, {report['rtfx_cpu']:.1f} x a CPU second"
    lines = [
        f"{directory}: {summary['utterances']} utterances, {summary['hypotheses']} hypotheses, "
        f"{summary['duplicates']} duplicates merged, {summary['empty']} empty ({summary['empty_best']} of them best)",
        given,
        f"  speed       {speed}, {rates}",
        f"  grid fill   {100 * report['grid_fill']:.1f} %",
        "  time        " + ", ".join(f"{part} {100 * share:.0f} %" for part, share in report["shares"].items()),
        f"  memory      {report['peak_bytes'] / 2**20:.0f} MiB a process at most",
        f"  searches    {listed(summary['stopped'])}",
        f"  hypotheses  {listed(summary['ended'])}",
    ]
    if "words" in summary:
        wers = summary["words"]["wer"]
        lines.append(f"  words       1-best {wers[0]:.2f} % errors, best of {len(wers)} {wers[-1]:.2f} %")
    return lines


def sample(total: int, size: int) -> list[int]:
    """`size` numbers below `total`, spread evenly: always the same."""
    size = min(size, total)
    return [(2 * place + 1) * total // (2 * size) for place in range(size)]


def check_single(
    records: Iterable[dict[str, Any]], size: int, alone: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """Compare a sample of an archive with what decoding each of its utterances alone gives.

    Args:
        records: the archive's.
        size: utterances to compare.
        alone: gives the record of one utterance decoded alone.

    Returns:
        {"utterances", "identical" (lists of the same texts in the same order), "rate",
        "largest_score_difference" (of hypotheses of the same text), "different": [ids]}.
    """
    records = list(records)
    different, largest = [], 0.0
    chosen = sample(len(records), size)
    for number in chosen:
        there, single = records[number], alone(records[number]["id"])
        if [hyp["text"] for hyp in there["hyps"]] != [hyp["text"] for hyp in single["hyps"]]:
            different.append(there["id"])
        scores = {hyp["text"]: hyp["score"] for hyp in single["hyps"]}
        largest = max(
            [largest, *(abs(hyp["score"] - scores[hyp["text"]]) for hyp in there["hyps"] if hyp["text"] in scores)]
        )
    same = len(chosen) - len(different)
    return {
        "utterances": len(chosen),
        "identical": same,
        "rate": same / len(chosen) if chosen else 1.0,
        "largest_score_difference": round(largest, 6),
        "different": different,
    }


def describe_check(checked: Mapping[str, Any], bf16: bool = False) -> list[str]:
    """The outcome of `check_single` as lines for the terminal; with `bf16` lists may differ, as it rounds."""
    line = (
        f"  identity    {checked['identical']} of {checked['utterances']} utterances decoded alone"
        f"{', in float32,' if bf16 else ''} give the same list ({100 * checked['rate']:.1f} %), "
        f"scores within {checked['largest_score_difference']:.1g}"
    )
    if bf16 or not checked["different"]:
        return [line]
    return [
        line,
        f"WARNING: {len(checked['different'])} LISTS DIFFER from those of the utterances decoded alone, "
        f"as {checked['different'][0]}: these hypotheses depend on how they were batched",
    ]
