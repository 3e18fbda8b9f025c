#!/usr/bin/env python3
"""Time and memory of the commands that read lists, at ten thousand, a hundred thousand and a million utterances.

Examples:
  tools/venv/bin/python tools/bench_scale.py                       # 10,000 and 100,000 utterances
  tools/venv/bin/python tools/bench_scale.py --utterances 1000000 --only score targets
  tools/venv/bin/python tools/bench_scale.py --scratch /big/disk   # a million need some 3 GB there

Lists are made: Kaldi data directories, hypotheses with one error in ten words, an N-best archive. Each command is a
process of its own; CPU seconds and the peak of its memory are those that the kernel counted for it (wait4). Memory is
flat where the last column hardly grows, time is linear where the one before stays alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPEAKER = 200  # utterances of a speaker
SHARD = 500  # records of a shard of the archive
NBEST = 3
NEEDS = {  # what has to be there before
    **dict.fromkeys(("kdasr targets", "kdasr targets --select best"), "kdasr tokens --check"),
    "combine_data.py": "copy_data_dir.py",
}
SYLLABLES = "the in e to er con ly ness un a is ver ing per mo ta li ro shi ka pre dis ma ber zo"
# the tool itself stays small: what a process had before it became another program counts as that one's peak


def main() -> None:
    """Make the lists, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    parser.add_argument("--words", type=int, default=10, help="of an utterance, on average")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="commands that have one of these words")
    parser.add_argument("--shuffled", action="store_true", help="tables in no order, where that is allowed")
    parser.add_argument("--scratch", help="directory for the lists (default: the system's)")
    args = parser.parse_args()
    print(f"{'command':34} {'utterances':>10} {'CPU s':>8} {'us/utt.':>8} {'peak MB':>8}")
    for size in args.utterances:
        with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
            directory = Path(scratch)
            write_lists(directory, size, args.words, args.shuffled)
            given = commands(size)
            asked = [name for name in given if not args.only or any(word in name for word in args.only)]
            for name, words in given.items():
                if name not in asked and not any(name in NEEDS.get(one, "") for one in asked):
                    continue
                if args.shuffled and name == "validate_data_dir.py":  # which is there to refuse that
                    continue
                seconds, peak = measured(words, directory)
                if name not in asked:
                    continue
                print(f"{name:34} {size:10,} {seconds:8.2f} {1e6 * seconds / size:8.1f} {peak / 1e6:8.0f}", flush=True)


def commands(size: int) -> dict[str, list[str]]:
    """What is measured: its name in the table, and its words."""
    data = ["--ref", "data/text", "--hyp", "hyp", "--utt2spk", "data/utt2spk"]
    targets = ["targets", "--nbest", "nbest", "--tokens", "tokens"]
    kdasr = {
        "score": ["score", *data, "--dir", "score_wer"],
        "score --type cer": ["score", *data, "--dir", "score_cer", "--type", "cer"],
        "tokens --check": ["tokens", "--text", "data/text", "--out", "tokens", "--check", "hyp"],
        "tokens --type word": ["tokens", "--text", "data/text", "--out", "tokens_word", "--type", "word"],
        "targets": [*targets, "--out", "targets"],
        "targets --select best": [*targets, "--select", "best", "--against", "data/text", "--out", "targets_best"],
        "data holdout": ["data", "holdout", "data", "--labelled", "lab", "--unlabelled", "unlab"],
        "data folds": ["data", "folds", "data", "--out", "folds"],
    }
    utils = {
        "validate_data_dir.py": ["--no-feats", "data"],
        "copy_data_dir.py": ["--utt-prefix", "a-", "--spk-prefix", "a-", "data", "copied"],
        "combine_data.py": ["combined", "data", "copied"],
        "subset_data_dir.py": ["data", str(size // 2), "half"],
        "split_data.py": ["data", "4"],
        "fix_data_dir.py": ["data"],
    }
    return {f"kdasr {name}": [sys.executable, "-m", "kdasr.cli", *words] for name, words in kdasr.items()} | {
        name: [sys.executable, str(ROOT / "utils" / name), *words] for name, words in utils.items()
    }


def measured(words: Sequence[str], directory: Path) -> tuple[float, int]:
    """CPU seconds and peak memory (bytes) of a process and those that it started."""
    path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    before = Path.cwd()
    os.chdir(directory)
    child = os.posix_spawn(
        words[0],
        words,
        {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
    )
    os.close(log)
    _, status, used = os.wait4(child, 0)
    os.chdir(before)
    if status:
        sys.exit(f"{' '.join(words)}: failed\n{(directory / 'log').read_text()[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def write_lists(directory: Path, size: int, words: int, shuffle: bool) -> None:
    """A data directory `data`, hypotheses `hyp`, an archive `nbest` and its `tokens`."""
    data = directory / "data"
    data.mkdir()
    names = ("text", "utt2spk", "wav.scp", "utt2num_frames", "utt2dur")
    tables = {name: open(data / name, "w", encoding="utf-8") for name in names}  # noqa: SIM115
    opened = (open(path, "w", encoding="utf-8") for path in (directory / "hyp", data / "spk2utt"))  # noqa: SIM115
    with next(opened) as hyp, next(opened) as spk2utt:
        for number, (key, ref, hyps) in enumerate(utterances(size, words)):
            speaker = key.partition("-")[0]
            first = number % SPEAKER == 0
            spk2utt.write((("\n" if number else "") + speaker if first else "") + f" {key}")
            frames = 25 * len(ref.split()) + 50
            row = (ref, speaker, f"/corpus/{speaker}/{key}.wav", str(frames), f"{frames / 100:.2f}")
            for name, value in zip(names, row, strict=True):
                tables[name].write(f"{key} {value}\n")
            hyp.write(f"{key} {hyps[0]}\n")
        spk2utt.write("\n")
    for table in tables.values():
        table.close()
    if shuffle:
        for path in (*(data / name for name in names), directory / "hyp"):
            lines = path.read_bytes().splitlines(keepends=True)
            random.Random(path.name).shuffle(lines)
            path.write_bytes(b"".join(lines))
    write_archive(directory / "nbest", size, words)


def vocabulary() -> list[str]:
    """Some thousand made words, the first ones short."""
    drawn = random.Random(1)
    return list(dict.fromkeys("".join(drawn.choices(SYLLABLES.split(), k=1 + k // 1500)) for k in range(6000)))


def utterances(size: int, words: int) -> Iterator[tuple[str, str, list[str]]]:
    """(id, transcript, hypotheses) in the order of LC_ALL=C."""
    drawn = random.Random(2)
    known = vocabulary()
    weights = []
    for rank in range(len(known)):
        weights.append((weights[-1] if weights else 0.0) + 1 / (rank + 10))
    for number in range(size):
        ref = drawn.choices(known, cum_weights=weights, k=max(1, round(drawn.gauss(words, words / 4))))
        hyps = []
        for _ in range(NBEST):
            hyp = list(ref)
            for place in range(len(ref)):
                if drawn.random() < 0.1:
                    hyp[place] = drawn.choices(known, cum_weights=weights)[0]
            hyps.append(" ".join(hyp))
        yield f"s{number // SPEAKER:05}-u{number:07}", " ".join(ref), list(dict.fromkeys(hyps))


def write_archive(directory: Path, size: int, words: int) -> None:
    """An N-best archive as `kdasr nbest import` would write it, of character tokens."""
    directory.mkdir()
    ids = {letter: 2 + place for place, letter in enumerate(" abcdefghijklmnopqrstuvwxyz")}
    keys, shard, lines = hashlib.sha256(), 0, []
    for number, (key, ref, hyps) in enumerate(utterances(size, words)):
        keys.update(f"{key}\n".encode())
        made = [
            {
                "tokens": [ids[letter] for letter in hyp],
                "text": hyp,
                "score": -1.0 - place,
                "scores": {"decoder": -1.0 - place, "ctc": -2.0},
                "ended": "eos",
            }
            for place, hyp in enumerate(hyps)
        ]
        frames = 25 * len(ref.split()) + 4 * len(ref) + 200
        record = {"id": key, "frames": frames, "hyps": made, "duplicates": 0, "stop": "end detected"}
        lines.append(json.dumps(record, separators=(",", ":")) + "\n")
        if len(lines) == SHARD or number == size - 1:
            (directory / f"nbest.{shard}.jsonl").write_text("".join(lines), encoding="utf-8")
            stats = dict.fromkeys(("begun", "audio_seconds", "cpu_seconds", "wall_seconds", "parts"), 0)
            stats |= {"grid_rows": 0, "grid_alive": 0, "peak_bytes": 0}
            sums = " ".join(f"{zlib.crc32(line.encode()):08x}" for line in lines)
            (directory / f"stats.{shard}.json").write_text(json.dumps({**stats, "lines": sums}), encoding="utf-8")
            shard, lines = shard + 1, []
    manifest = {
        "utterances": size,
        "shards": shard,
        "shard_size": SHARD,
        "search": {"nbest": NBEST, "normalize_length": False},
        "keys": keys.hexdigest()[:16],
    }
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


if __name__ == "__main__":
    main()
