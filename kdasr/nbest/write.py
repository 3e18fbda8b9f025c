"""Decode a set into an archive of N-best hypotheses (kdasr.nbest.archive says what is in it).

A shard appears whole or not at all; a killed run that is started again makes the shards that are
missing, and gives the archive that an uninterrupted run gives. Another model, token list, set of
utterances or other search options are refused.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdasr.data.kaldi_dir import SOURCE
from kdasr.data.utterances import AS_IT_IS, Reading
from kdasr.errors import UserError
from kdasr.files import only_writer, read_table
from kdasr.models import Models, find_models
from kdasr.nbest import archive, run_report
from kdasr.s2t import UNASKED, Prompt
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import Row, read_rows
from kdasr.shards import claim, cut, digest, parse_share
from kdasr.workers import run_shards

if TYPE_CHECKING:
    from kdasr.search.engine import Engine


@dataclass(frozen=True)
class Processes:
    """How decoding is cut up and who does it; this changes no result."""

    nj: int = 1  # processes on this machine
    job: str | None = None  # J/N: this is process J of N that share the work
    merge: bool = False  # check what the jobs wrote, and finish it
    shard_size: int = 256  # utterances
    batch_frames: int = Computing.batch_frames  # padded input frames x beam in a batch, at most
    ngpu: int = 0  # 0: the CPU; else jobs take the GPUs in turn
    graphs: bool = False  # on a GPU: search steps are recorded and replayed

    def check(self) -> None:
        """UserError for numbers out of range, and for what does not go together."""
        if self.nj < 1 or self.shard_size < 1 or self.batch_frames < 1 or self.ngpu < 0:
            raise UserError("--nj, --shard_size and --batch_frames: expected 1 or more, and --ngpu 0 or more")
        if self.graphs and not self.ngpu:
            raise UserError("--graphs: is for a GPU; give --ngpu 1, too, or leave it out")
        if self.ngpu and self.nj > 1:
            raise UserError("--ngpu with --nj: start a process for each GPU with --job 1/N ... N/N, then --merge")


@dataclass(frozen=True)
class Decoding:
    """What is decoded, with which models, and where the result goes."""

    models: tuple[str, ...]  # model directories; several are an ensemble
    data: str  # data directory with feats.scp (or wav.scp)
    out: str  # directory to write
    options: SearchOptions
    model_file: str | None = None  # a checkpoint in each of the directories; None: the averaged best
    lm: str | None = None  # directory of a language model
    lm_file: str | None = None
    processes: Processes = Processes()
    reading: Reading = AS_IT_IS  # of audio, for a model that takes it
    prompt: Prompt = UNASKED  # of an S2T model
    replace_unk: bool = False  # unknown words of a translation become those of its source
    bf16: bool = False  # the encoder and large layers multiply bfloat16 numbers

    def find(self) -> Models:
        """Its models, looked into."""
        return find_models(self.models, self.model_file, self.lm, self.lm_file, self.prompt)


def run(given: Decoding, singles: int = 0) -> None:
    """Make what is missing of the archive, check it, and say what is in it.

    Args:
        given: what to decode, and how.
        singles: utterances that are decoded again, each alone, to compare.
    """
    out = Path(given.out)
    if singles < 0 or (singles and given.processes.job):
        raise UserError(
            f"--check_single {singles}: expected 0 or more, and no --job; give it with --merge, or afterwards"
        )
    if make_archive(given, out):
        refs = Path(given.data) / "text"
        summary = archive.summarise(out, read_table(refs) if refs.is_file() else None)
        print("\n".join(run_report.table(out, summary, run_report.read(out))))
    if singles:
        models = given.find()
        rows = {row.name: row for row in read_rows(given.data, models.first, given.reading)}
        decoder = loader(replace(given, bf16=False), models)()  # each alone, and in float32
        checked = run_report.check_single(
            archive.read_nbest(out), singles, lambda name: next(iter(decoder.decode([rows[name]])))
        )
        run_report.add(out, "check_single", checked)
        print("\n".join(run_report.describe_check(checked, given.bf16)))


def make_archive(given: Decoding, out: Path, quiet: bool = False) -> bool:
    """Decode the shards that are missing, or this job's share of them.

    Args:
        given: what to decode, and how.
        out: the archive, given.out or a directory in it.
        quiet: whether nothing is said where all is there already.

    Returns:
        Whether the archive has just become complete: all shards are there and it has no summary yet.

    Raises:
        UserError: wrong input, other settings than those of `out`, or another run that writes there.
    """
    options, processes = given.options, given.processes
    processes.check()
    if given.bf16 and processes.ngpu:
        raise UserError("--bf16: is for a CPU; leave out --ngpu, or --bf16")
    share = parse_share(processes.job, processes.merge)
    models = given.find()
    rows = read_rows(given.data, models.first, given.reading)
    shards = cut(rows, processes.shard_size)  # type: ignore[type-var]
    if not any(out.glob("nbest.*.jsonl")):
        # A run that failed before its first shard (as options did not fit the model) does not bind the next one.
        (out / "manifest.json").unlink(missing_ok=True)
    claim(out, manifest(models, rows, options, processes.shard_size) | changed(given, models))
    missing = archive.missing_shards(out, len(shards))
    if not missing and (out / "summary.json").is_file():
        if not quiet:
            print(f"{out}: all {len(rows)} utterances are there already; to decode again: rm -r {out}")
        return False
    with only_writer(out, name=share.lock):
        todo = share.of(missing, len(shards), out)
        for name in ("summary.json", run_report.FILE):
            (out / name).unlink(missing_ok=True)  # of what was there before a shard was removed
        run_shards(
            functools.partial(make_shard, str(out), loader(given, models, share.part)),
            [(shard, shards[shard]) for shard in todo],
            1 if processes.job else processes.nj,
            f"{Path(given.out).name}: decoding",
            models.first.unit,
        )
    if processes.job:
        print(f"{out}: job {processes.job} has done its share of {len(shards)} shards")
        return False
    return True


def loader(given: Decoding, models: Models, part: int = 1) -> Callable[[], Engine]:
    """What gives a process its engine: the same one each time; job `part` has its own GPU."""
    # One thread a process: a step's matrices are small, and threads would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    gpus = given.processes.ngpu
    device = f"cuda:{(part - 1) % gpus}" if gpus else "cpu"
    computing = Computing(given.processes.batch_frames, device, given.processes.graphs, given.bf16)
    return functools.partial(load_engine, models, given.options, computing, given.replace_unk)


def load_engine(models: Models, options: SearchOptions, computing: Computing, replace_unk: bool) -> Engine:
    """The engine of this process; loaded once."""
    from kdasr.search import engine  # seconds, for processes that decode: others look at files alone

    return engine.loaded(models, options, computing, replace_unk)


def changed(given: Decoding, models: Models) -> dict[str, Any]:
    """What records depend on besides, where it is not as usual: how audio is read, numbers; what source text says."""
    found = given.reading.changed() | {name: True for name in ("replace_unk", "bf16") if getattr(given, name)}
    return found | ({"source": digest(Path(given.data) / SOURCE)} if models.first.reads else {})


def manifest(models: Models, rows: Sequence[Row], options: SearchOptions, shard_size: int) -> dict[str, Any]:
    """What an archive's records depend on."""
    settings: dict[str, Any] = dict(models.settings())
    settings.update(keys=archive.keys_digest(row.name for row in rows), search=options.settings())
    settings.update(utterances=len(rows), shards=-(-len(rows) // shard_size), shard_size=shard_size)
    return settings


def make_shard(
    out: str,
    load: Callable[[], Engine],
    shard: int,
    rows: Sequence[Row],
    progress: Callable[[float], None] = lambda _: None,
) -> float:
    """Decode one shard and write it; returns its `amount`. The process keeps the model for the next."""
    decoder = load()
    watch = decoder.watched()
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
    archive.write_shard(out, shard, [records[row.name] for row in rows], stats)
    return sum(decoder.amount(row, records[row.name]["frames"]) for row in rows)
