"""`kdasr nbest`: decode a set into an archive of N-best hypotheses (kdasr.nbest.archive says what is in it).

A shard appears whole or not at all; a killed run that is started again makes the shards that are
missing, and gives the archive that an uninterrupted run gives. Another model, token list, set of
utterances or other search options are refused.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import only_writer, read_table
from kdasr.models import Source, find_model
from kdasr.nbest import archive
from kdasr.search import engine
from kdasr.search.options import SearchOptions, add_search_arguments, from_arguments
from kdasr.search.watch import Watch
from kdasr.shards import claim, cut, parse_share
from kdasr.workers import run_shards

EXAMPLES = """examples:
  # the 5 best of a training set, by two processes
  kdasr nbest --model exp/teacher --data dump/fbank/train --out exp/teacher/nbest_train --nj 2
  # 16 cluster jobs, then the check that all is there
  kdasr nbest --model exp/teacher --data dump/fbank/train --out exp/teacher/nbest_train --job 3/16
  kdasr nbest --model exp/teacher --data dump/fbank/train --out exp/teacher/nbest_train --merge
  # a wider search of any ESPnet2 model, with attention alone
  kdasr nbest --model espnet/exp/asr_train --data data/train --out nbest --beam 20 --nbest 10 --ctc_weight 0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr nbest`."""
    add_io_arguments(parser, "archive to write")
    add_search_arguments(parser, nbest=True)


def add_io_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """What `kdasr nbest` and `kdasr decode` read and write."""
    parser.add_argument("--model", required=True, metavar="DIR", help="directory of a trained ESPnet2 model")
    parser.add_argument("--data", required=True, metavar="DIR", help="data directory with feats.scp (or wav.scp)")
    parser.add_argument("--out", required=True, metavar="DIR", help=out)
    parser.add_argument("--model_file", metavar="NAME", help="checkpoint in --model (default valid.acc.ave.pth)")


def run(args: argparse.Namespace) -> None:
    """Make what is missing of the archive, check it, and say what is in it."""
    options = from_arguments(args)
    if make_archive(args, options, Path(args.out)):
        refs = Path(args.data) / "text"
        finished = archive.summarise(args.out, read_table(refs) if refs.is_file() else None)
        for line in describe(args.out, finished):
            print(line)


def make_archive(args: argparse.Namespace, options: SearchOptions, out: Path, quiet: bool = False) -> bool:
    """Decode the shards that are missing, or this job's share of them.

    Returns:
        Whether the archive has just become complete: all shards are there and it has no summary yet.

    Raises:
        UserError: wrong input, other settings than those of `out`, or another run that writes there.
    """
    check_process_arguments(args)
    share = parse_share(args.job, args.merge)
    source = find_model(args.model, args.model_file)
    rows = engine.read_rows(args.data, source)
    shards = cut(rows, args.shard_size)  # type: ignore[type-var]
    if not any(out.glob("nbest.*.jsonl")):
        # A run that failed before its first shard (on a beam that is too wide, say) binds nobody to its settings.
        (out / "manifest.json").unlink(missing_ok=True)
    claim(out, manifest(source, rows, options, args.shard_size))
    missing = archive.missing_shards(out, len(shards))
    if not missing and (out / "summary.json").is_file():
        if not quiet:
            print(f"{out}: all {len(rows)} utterances are there already; to decode again: rm -r {out}")
        return False
    with only_writer(out, name=share.lock):
        todo = share.of(missing, len(shards), out)
        device = f"cuda:{(share.part - 1) % args.ngpu}" if args.ngpu else "cpu"
        # One thread a process: a step's matrices are small, and threads would only wait for each other.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        make = functools.partial(
            make_shard, str(out), source.directory, source.checkpoint, options, args.batch_frames, device
        )
        run_shards(
            make,
            [(shard, shards[shard]) for shard in todo],
            1 if args.job else args.nj,
            f"{Path(args.out).name}: decoding",
        )
    if args.job:
        print(f"{out}: job {args.job} has done its share of {len(shards)} shards")
        return False
    return True


def check_process_arguments(args: argparse.Namespace) -> None:
    """UserError for options about processes that contradict each other or are out of range."""
    if args.nj < 1 or args.shard_size < 1 or args.batch_frames < 1 or args.ngpu < 0:
        raise UserError("--nj, --shard_size and --batch_frames: expected 1 or more, and --ngpu 0 or more")
    if args.ngpu and args.nj > 1:
        raise UserError("--ngpu with --nj: give each GPU a process of its own by --job 1/N ... N/N, then --merge")


def manifest(source: Source, rows: Sequence[engine.Row], options: SearchOptions, shard_size: int) -> dict[str, Any]:
    """What an archive's records depend on."""
    settings: dict[str, Any] = dict(source.settings)
    settings.update(keys=archive.keys_digest(row.name for row in rows), search=engine.options_settings(options))
    settings.update(utterances=len(rows), shards=-(-len(rows) // shard_size), shard_size=shard_size)
    return settings


def make_shard(
    out: str,
    model: str,
    checkpoint: str,
    options: SearchOptions,
    batch_frames: int,
    device: str,
    shard: int,
    rows: Sequence[engine.Row],
    progress: Callable[[float], None] = lambda _: None,
) -> float:
    """Decode one shard and write it; returns its hours of audio. The process keeps the model for the next."""
    decoder = engine.loaded(model, checkpoint, options, batch_frames, device)
    decoder.watch = watch = Watch(device)
    cpu, wall = time.process_time(), time.perf_counter()
    records = {record["id"]: record for record in decoder.decode(rows, progress)}
    seconds = sum(decoder.seconds(row, records[row.name]["frames"]) for row in rows)
    stats = {
        "utterances": len(rows),
        "audio_seconds": round(seconds, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "wall_seconds": round(time.perf_counter() - wall, 3),
        "parts": {part: round(spent, 3) for part, spent in sorted(watch.totals().items())},
        "grid_rows": watch.rows,
        "grid_alive": watch.alive,
        "peak_bytes": watch.peak_bytes(),
    }
    archive.write_shard(out, shard, [records[row.name] for row in rows], stats)
    return seconds / 3600


def describe(out: str, summary: dict[str, Any]) -> list[str]:
    """A summary as lines for the terminal."""
    audio, cpu = summary["audio_seconds"], summary["cpu_seconds"]
    lines = [
        f"{out}: {summary['utterances']} utterances, {summary['hypotheses']} hypotheses, "
        f"{summary['duplicates']} duplicates merged, {summary['empty']} empty; "
        f"{audio / 3600:.2f} h of audio in {cpu:.0f} CPU s" + (f" ({audio / cpu:.0f} x real time)" if cpu else "")
    ]
    lines.append("  searches stopped: " + ", ".join(f"{count} {why}" for why, count in summary["stopped"].items()))
    if "words" in summary:
        wers = summary["words"]["wer"]
        lines.append(f"  1-best {wers[0]:.2f} % word errors, best of {len(wers)} {wers[-1]:.2f} %")
    return lines
