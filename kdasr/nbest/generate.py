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
from kdasr.models import Models, find_models
from kdasr.nbest import archive, run_report
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
  # with the teacher's 10 most probable tokens at each step, and 50 utterances decoded again, each alone
  kdasr nbest --model exp/teacher --data dump/fbank/train --out exp/teacher/nbest_train --soft_targets 10 \\
      --check_single 50
  # an ensemble of two teachers with a language model, all over one token list
  kdasr nbest --model exp/teacher_a exp/teacher_b --lm exp/lm --lm_weight 0.3 --data dump/fbank/train --out exp/nbest
  # a wider search of any ESPnet2 model, with attention alone
  kdasr nbest --model espnet/exp/asr_train --data data/train --out nbest --beam 20 --nbest 10 --ctc_weight 0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr nbest`."""
    add_io_arguments(parser, "archive to write")
    add_search_arguments(parser, nbest=True)
    parser.add_argument(
        "--check_single",
        type=int,
        default=0,
        metavar="N",
        help="afterwards decode N utterances again, each alone, and report how many lists are identical (default 0)",
    )


def add_io_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """What `kdasr nbest` and `kdasr decode` read and write."""
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        metavar="DIR",
        help="directory of a trained ESPnet2 model; several of one token list decode as an ensemble",
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="data directory with feats.scp (or wav.scp)")
    parser.add_argument("--out", required=True, metavar="DIR", help=out)
    parser.add_argument("--model_file", metavar="NAME", help="checkpoint in --model (default valid.acc.ave.pth)")


def run(args: argparse.Namespace) -> None:
    """Make what is missing of the archive, check it, and say what is in it."""
    options, out = from_arguments(args), Path(args.out)
    if args.check_single < 0 or (args.check_single and args.job):
        raise UserError(
            f"--check_single {args.check_single}: expected 0 or more, and no --job; give it with --merge, or afterwards"
        )
    if make_archive(args, options, out):
        refs = Path(args.data) / "text"
        summary = archive.summarise(out, read_table(refs) if refs.is_file() else None)
        print("\n".join(run_report.table(out, summary, run_report.read(out))))
    if args.check_single:
        models = find_models(args.model, args.model_file, args.lm, args.lm_file)
        rows = {row.name: row for row in engine.read_rows(args.data, models.first)}
        decoder = loader(args, models, options)()
        checked = run_report.check_single(
            archive.read_nbest(out), args.check_single, lambda name: next(iter(decoder.decode([rows[name]])))
        )
        run_report.add(out, "check_single", checked)
        print("\n".join(run_report.describe_check(checked)))


def make_archive(args: argparse.Namespace, options: SearchOptions, out: Path, quiet: bool = False) -> bool:
    """Decode the shards that are missing, or this job's share of them.

    Returns:
        Whether the archive has just become complete: all shards are there and it has no summary yet.

    Raises:
        UserError: wrong input, other settings than those of `out`, or another run that writes there.
    """
    check_process_arguments(args)
    share = parse_share(args.job, args.merge)
    models = find_models(args.model, args.model_file, args.lm, args.lm_file)
    rows = engine.read_rows(args.data, models.first)
    shards = cut(rows, args.shard_size)  # type: ignore[type-var]
    if not any(out.glob("nbest.*.jsonl")):
        # A run that failed before its first shard (on a beam that is too wide, say) binds nobody to its settings.
        (out / "manifest.json").unlink(missing_ok=True)
    claim(out, manifest(models, rows, options, args.shard_size))
    missing = archive.missing_shards(out, len(shards), options.soft_targets > 0)
    if not missing and (out / "summary.json").is_file():
        if not quiet:
            print(f"{out}: all {len(rows)} utterances are there already; to decode again: rm -r {out}")
        return False
    with only_writer(out, name=share.lock):
        todo = share.of(missing, len(shards), out)
        for told in ("summary.json", run_report.FILE):
            (out / told).unlink(missing_ok=True)  # of what was there before a shard was removed
        run_shards(
            functools.partial(make_shard, str(out), loader(args, models, options, share.part)),
            [(shard, shards[shard]) for shard in todo],
            1 if args.job else args.nj,
            f"{Path(args.out).name}: decoding",
        )
    if args.job:
        print(f"{out}: job {args.job} has done its share of {len(shards)} shards")
        return False
    return True


def loader(
    args: argparse.Namespace, models: Models, options: SearchOptions, part: int = 1
) -> Callable[[], engine.Engine]:
    """What gives a process its engine: the same one each time; job `part` has its own GPU."""
    # One thread a process: a step's matrices are small, and threads would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    device = f"cuda:{(part - 1) % args.ngpu}" if args.ngpu else "cpu"
    return functools.partial(engine.loaded, models, options, args.batch_frames, device)


def check_process_arguments(args: argparse.Namespace) -> None:
    """UserError for options about processes that contradict each other or are out of range."""
    if args.nj < 1 or args.shard_size < 1 or args.batch_frames < 1 or args.ngpu < 0:
        raise UserError("--nj, --shard_size and --batch_frames: expected 1 or more, and --ngpu 0 or more")
    if args.ngpu and args.nj > 1:
        raise UserError("--ngpu with --nj: give each GPU a process of its own by --job 1/N ... N/N, then --merge")


def manifest(models: Models, rows: Sequence[engine.Row], options: SearchOptions, shard_size: int) -> dict[str, Any]:
    """What an archive's records depend on."""
    settings: dict[str, Any] = dict(models.settings())
    settings.update(keys=archive.keys_digest(row.name for row in rows), search=engine.options_settings(options))
    settings.update(utterances=len(rows), shards=-(-len(rows) // shard_size), shard_size=shard_size)
    return settings


def make_shard(
    out: str,
    load: Callable[[], engine.Engine],
    shard: int,
    rows: Sequence[engine.Row],
    progress: Callable[[float], None] = lambda _: None,
) -> float:
    """Decode one shard and write it; returns its hours of audio. The process keeps the model for the next."""
    decoder = load()
    decoder.watch = watch = Watch(decoder.device)
    begun, cpu, wall = time.time(), time.process_time(), time.perf_counter()
    records = {record["id"]: record for record in decoder.decode(rows, progress)}
    seconds = sum(decoder.seconds(row, records[row.name]["frames"]) for row in rows)
    stats = {
        "utterances": len(rows),
        "audio_seconds": round(seconds, 3),
        "begun": round(begun, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "wall_seconds": round(time.perf_counter() - wall, 3),
        "parts": {part: round(spent, 3) for part, spent in sorted(watch.totals().items())},
        "grid_rows": watch.rows,
        "grid_alive": watch.alive,
        "peak_bytes": watch.peak_bytes(),
    }
    archive.write_shard(out, shard, [records[row.name] for row in rows], stats, decoder.options.soft_targets)
    return seconds / 3600
