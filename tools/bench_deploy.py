#!/usr/bin/env python3
r"""What a bundle is worth beside its checkpoint: the same texts? how large, how fast, how soon, how much memory?

For each case the model is exported (`kdasr export --int8`), and one process each of `kdasr decode` and
`kdasr transcribe` goes through the set. CPU seconds are those of the process from its start to its end, imports and
loading included, on one thread, divided by the seconds of audio; the cheapest of `--rounds` counts. Memory is the
largest that was resident. *Cold* is the time from `kdasr transcribe FILE` to its end, of the first `--seconds` of the
set's audio. Stock sherpa-onnx is asked for its texts, too (tools/check_sherpa.py).

    tools/bench_deploy.py --case "demo, test_eval92" egs/wsj/exp/student_mini_pseudo_soft_s1 \
        egs/wsj/dump/fbank/test_eval92 egs/wsj/data/test_eval92
    tools/bench_deploy.py --case ... --case ... --write docs/deploy.md    # its table, between its two marks

A case is a title, a model directory, a directory of features with text, and the data directory of its audio.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile

from kdasr.data.audio import read_audio
from kdasr.data.cuts import Recordings, read_cut
from kdasr.data.utterances import audio_of
from kdasr.files import atomic_write, read_json, read_numbers, read_table, write_table

MARKS = ("<!-- tools/bench_deploy.py: its table -->", "<!-- end of the table -->")
SHERPA = re.compile(r"^(\w+), (\w+): (\d+ of \d+) texts equal", re.MULTILINE)  # what check_sherpa.py prints
GREEDY = ("--beam", "1", "--ctc_weight", "0")
JOINT = ("--beam", "5", "--ctc_weight", "0.3")


class Case(NamedTuple):
    """What is measured."""

    title: str
    model: Path
    feats: Path  # features and text
    audio: Path  # data directory with wav.scp


class Spent(NamedTuple):
    """A process, from start to end."""

    cpu: float  # seconds, user and system
    wall: float  # seconds
    memory: int  # bytes, at most
    out: str


def main() -> None:
    """Measure the cases, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--case", nargs=4, action="append", required=True, metavar=("TITLE", "MODEL", "FEATS", "AUDIO"))
    add("--wsj_filter", action="store_true", help="of the score, as for kdasr score")
    add("--rounds", type=int, default=2, help="of which the cheapest counts (default 2)")
    add("--seconds", type=float, default=5.0, help="of the file for a cold start (default 5)")
    add("--write", type=Path, metavar="FILE", help="put the table into this page, between its marks")
    args = parser.parse_args()
    columns = []
    for title, model, feats, audio in args.case:
        with tempfile.TemporaryDirectory() as scratch:
            case = Case(title, Path(model), Path(feats), Path(audio))
            columns.append(measure(case, Path(scratch), args.rounds, args.seconds, args.wsj_filter))
    lines = table([case[0] for case in args.case], columns)
    print(lines)
    if args.write:
        put(args.write, lines)


def measure(case: Case, scratch: Path, rounds: int, seconds: float, wsj_filter: bool) -> dict[str, str]:
    """The rows of a case."""
    run("export", "--model", case.model, "--out", scratch / "b", "--int8", "--zip")
    bundle = scratch / "b.zip"
    lengths = read_numbers(case.feats / "utt2dur")
    total = sum(lengths.values())
    sizes = {name: bytes_of(scratch / "b", name) for name in ("fp32", "int8")}
    weights = (case.model / "valid.acc.ave.pth").stat().st_size
    rows = {
        "utterances; seconds of audio": f"{len(lengths)}; {total:.0f}",
        "bytes: checkpoint; fp32; int8": "; ".join(f"{size:,}" for size in (weights, *sizes.values())),
    }
    for name, options in (("greedy", GREEDY), ("beam 5", JOINT)):
        out = scratch / name.replace(" ", "_")
        words = ("decode", "--model", case.model, "--data", case.feats, "--nj", 1, *options)
        slow = best(run(*words, "--out", f"{out}_{n}") for n in range(rounds))
        decoded = dict(read_table(Path(f"{out}_0") / "text", empty=True))
        scores = {key: float(score) for key, score in read_table(Path(f"{out}_0") / "score").items()}
        transcribe = ("transcribe", "--model", bundle, *options)
        by_features = best(run(*transcribe, "--data", case.feats, "--format", "json") for _ in range(rounds))
        found = parsed(by_features.out)
        other = [key for key, text in decoded.items() if found[key]["text"].strip() != text]  # as in a table
        rows[f"{name}: texts that are not kdasr decode's"] = f"{len(other)} of {len(decoded)}"
        if name == "greedy":
            continue
        apart = max(abs(found[key]["nbest"][0]["score"] - scores[key]) for key in scores)
        rows["beam 5: largest difference of scores"] = f"{apart:.1e}"
        small = parsed(run(*transcribe, "--data", case.feats, "--format", "json", "--precision", "int8").out)
        texts = [decoded, *({key: one["text"] for key, one in each.items()} for each in (found, small))]
        wers = [wer(case.feats, one, scratch / f"score_{n}", wsj_filter) for n, one in enumerate(texts)]
        rows["beam 5, WER (%): kdasr decode; fp32; int8"] = "; ".join(f"{one:.2f}" for one in wers)
        by_audio = best(run(*transcribe, "--data", case.audio) for _ in range(rounds))
        costs = [one.cpu / total for one in (slow, by_features, by_audio)]
        rows["beam 5, CPU s a second of audio: kdasr decode; transcribe, of features; of audio"] = "; ".join(
            f"{cost:.4f}" for cost in costs
        )
        rows["of the same, kdasr decode divided by transcribe of audio"] = f"{costs[0] / costs[2]:.1f}"
        rows["memory, MB: kdasr decode; transcribe"] = f"{slow.memory / 1e6:.0f}; {by_audio.memory / 1e6:.0f}"
    rows |= sherpa(case)
    file = scratch / "cold.wav"
    soundfile.write(file, *first(case.audio, seconds), subtype="PCM_16")
    cold = [run("transcribe", "--model", bundle, file) for _ in range(max(2, rounds))]
    rows[f"cold, s: from a file of {seconds:g} s to its text"] = f"{min(one.wall for one in cold):.2f}"
    return rows


def run(*words: object) -> Spent:
    """A command of kdasr in a process of its own, on one thread.

    The system counts what this process holds as memory of the other, too: so neither torch nor ESPnet is imported here.
    """
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([sys.executable, "-m", "kdasr.cli", *map(str, words)], stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"kdasr {words[0]} ended with {process.returncode}; its reason stands above")
        out.seek(0)
        return Spent(cpu_of(used), wall, used.ru_maxrss * 1024, out.read())


def sherpa(case: Case) -> dict[str, str]:
    """How many texts of sherpa-onnx are kdasr's, for each of its slots; - of a slot that the model does not fit."""
    words = ("--int8", "--model", case.model, "--data", case.feats, "--audio", case.audio)
    program = Path(__file__).with_name("check_sherpa.py")
    done = subprocess.run([sys.executable, program, *map(str, words)], capture_output=True, text=True, check=False)
    equal = {(slot, kind): count for slot, kind, count in SHERPA.findall(done.stdout)}
    if not equal:
        print(f"{case.title}: nothing of sherpa-onnx: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    said = "sherpa-onnx, {}, greedy: texts that are kdasr's: fp32; int8"
    return {
        said.format(slot): "; ".join(equal.get((slot, precision), "-") for precision in ("fp32", "int8"))
        for slot in ("attention", "ctc")
    }


def cpu_of(used: resource.struct_rusage) -> float:
    """CPU seconds of a process that has ended, and of those that it waited for."""
    return used.ru_utime + used.ru_stime


def best(spent: Iterator[Spent]) -> Spent:
    """The cheapest."""
    return min(spent, key=lambda one: one.cpu)


def wer(feats: Path, texts: Mapping[str, str], out: Path, wsj_filter: bool) -> float:
    """The word error rate that kdasr score gives, in percent."""
    write_table(out / "hyp", dict(texts))
    files = ("--ref", feats / "text", "--hyp", out / "hyp", "--utt2spk", feats / "utt2spk")
    run("score", *files, "--dir", out / "score", *(["--wsj_filter"] if wsj_filter else []))
    return read_json(out / "score" / "score.json")["wer"]


def parsed(lines: str) -> dict[str, dict]:
    """Utterance -> what was heard, of `--format json`."""
    return {row["audio"]: row for row in map(json.loads, lines.splitlines())}


def bytes_of(bundle: Path, precision: str) -> int:
    """Bytes of the graphs of a precision."""
    files = json.loads((bundle / "bundle.json").read_text())["networks"][precision]
    return sum((bundle / name).stat().st_size for name in files.values())


def first(audio: Path, seconds: float) -> tuple[np.ndarray, int]:
    """So many seconds of a set's audio, from its begin, and the rate."""
    recordings, parts = Recordings(), []
    rows = audio_of(audio)
    _, rate = read_audio(next(iter(rows.values())).audio)
    for row in rows.values():
        parts.append(read_cut(row, recordings, rate, ""))
        if sum(map(len, parts)) >= seconds * rate:
            break
    return np.concatenate(parts)[: int(seconds * rate)], rate


def table(titles: Sequence[str], columns: Sequence[Mapping[str, str]]) -> str:
    """Markdown: a row a figure, a column a case."""
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    lines += [f"| {name} | " + " | ".join(column[name] for column in columns) + " |" for name in columns[0]]
    return "\n".join(lines)


def put(page: Path, lines: str) -> None:
    """Put a table into a page, between the marks."""
    text = page.read_text()
    before, mark, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not mark or not end:
        sys.exit(f"{page}: has no marks {MARKS[0]} and {MARKS[1]}; name docs/deploy.md")
    with atomic_write(page) as stream:
        stream.write(f"{before}{mark}\n{lines}\n{end}{after}")


if __name__ == "__main__":
    main()
