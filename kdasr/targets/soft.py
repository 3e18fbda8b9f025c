"""Soft targets of a targets directory: a teacher's distribution at each step of what a student trains on.

The teacher reads each text (a reference or a hypothesis, whoever made it) along its audio and says what it would
have expected after each token. It need not be the teacher that searched, and may be an ensemble.

Writes soft.ark and soft.scp beside the targets' other tables: a matrix (R, 2J) an utterance, token ids and then
natural logarithms. With --ctc also ctc.ark and ctc.scp: (S, 2J), what the teacher's CTC branch gives in each
encoded frame (all there is of a teacher of CTC alone); soft.json says when these frames are
(kdasr.targets.frame_times). A killed run continues where it was: finished parts are kept in `.soft/`.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdasr.arrays import read_npz
from kdasr.data.kaldi_dir import SOURCE
from kdasr.data.made import made_as
from kdasr.data.utterances import AS_IT_IS, Reading
from kdasr.errors import UserError
from kdasr.files import columns, only_writer, read_json, read_table, write_json
from kdasr.models import Models, attends, find_models, read_config
from kdasr.s2t import UNASKED, Prompt
from kdasr.search.rows import Row, read_rows
from kdasr.shards import claim, cut, digest, parse_share
from kdasr.targets import frame_times
from kdasr.targets.files import write_soft_table
from kdasr.targets.settings import How
from kdasr.workers import run_shards

SHARD_SIZE = 256
DONE = "soft.json"


@dataclass(frozen=True)
class Softening:
    """Whose distributions are stored, for which targets."""

    models: tuple[str, ...]  # the teacher's directory; several are an ensemble
    targets: str  # targets directory
    data: tuple[str, ...]  # feature directories of its utterances
    how: How
    model_file: str | None = None  # a checkpoint in each of the models
    batch_frames: int = 40000  # padded frames x hypotheses in a batch
    nj: int = 1  # processes
    ngpu: int = 0  # 0: the CPU; else jobs take the GPUs in turn
    reading: Reading = AS_IT_IS  # of audio, for teachers that take it
    prompt: Prompt = UNASKED  # of S2T models
    job: str | None = None  # J/N: this is process J of N that share the work
    merge: bool = False  # put together what the jobs made


def run(given: Softening) -> None:
    """Make what is missing of the soft targets, and put them together."""
    out, share = Path(given.targets), parse_share(given.job, given.merge)
    if not (out / "targets.json").is_file():
        raise UserError(f"{out}: holds no targets.json; select targets first (kdasr targets --out {out})")
    if given.how.kept < 0 or given.nj < 1 or given.batch_frames < 1 or (given.ngpu and given.nj > 1):
        raise UserError("--kept: expected 0 or more; --nj and --batch_frames: 1 or more; --ngpu 1 goes with --nj 1")
    weights = list(given.how.weights) or [1 / len(given.models)] * len(given.models)
    if len(weights) != len(given.models) or not (all(w > 0 for w in weights) and abs(sum(weights) - 1) <= 1e-4):
        raise UserError(f"--weights {weights}: expected {len(given.models)} numbers above 0 that sum to 1")
    models = find_models(given.models, given.model_file, prompt=given.prompt)
    if given.how.ctc and models.first.reads:
        raise UserError(f"--ctc: {given.models[0]} is a model that translates, which has no CTC branch; leave it out")
    alone = [model for model in given.models if not attends(model)]
    if alone and not given.how.ctc:
        raise UserError(
            f"{alone[0]}: was trained with CTC alone, so that it expects nothing word by word; give --ctc for what it "
            "expects in each frame"
        )
    made_for = read_json(out / "targets.json")["settings"].get("tokens")
    if made_for not in (None, models.first.hashes[2]):
        raise UserError(f"{out}: its targets are of another token list than {given.models[0]}; name their own teacher")
    how = given.how._replace(weights=tuple(weights))
    settings = {**models.settings(), **how._asdict(), "weights": weights}
    settings |= {name: digest(out / name) for name in ("hyps", "hyp_lens")} | given.reading.changed()
    if models.first.reads:
        settings["source"] = [digest(Path(data) / SOURCE) for data in given.data]
    if (out / DONE).is_file() and (out / ("ctc.scp" if alone else "soft.scp")).is_file():
        there = read_json(out / DONE)["settings"]
        if there == settings:
            print(f"{out}: has these soft targets already; to make them again: rm {out}/{{soft,ctc}}.*")
            return
        differing = ", ".join(sorted(key for key in settings if there.get(key) != settings[key]))
        raise UserError(f"{out}: has soft targets of other {differing}; remove them first: rm {out}/{{soft,ctc}}.*")
    work = read_work(out, given.data, models, given.reading)
    frames = when(out, models, work) if how.ctc else {}
    parts = out / ".soft"
    with only_writer(out, name=f".soft{share.lock}"):
        claim(parts, settings)
        shards = cut(work, SHARD_SIZE)  # type: ignore[type-var]
        missing = [shard for shard in range(len(shards)) if not (parts / f"{shard}.npz").is_file()]
        todo = [(shard, shards[shard]) for shard in share.of(missing, len(shards), out)]
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        device = f"cuda:{(share.part - 1) % given.ngpu}" if given.ngpu else "cpu"
        make = functools.partial(make_part, parts, models, given.batch_frames, device, how, words=not alone)
        run_shards(make, todo, 1 if given.job else given.nj, f"{out.name}: soft targets", models.first.unit)
        if given.job:
            print(f"{out}: job {given.job} has done its share of {len(shards)} parts")
            return
        if how.ctc:
            write_soft_table(out, out, merged(parts, len(shards), second=not alone), "ctc")
        if not alone:
            write_soft_table(out, out, merged(parts, len(shards)))
        steps = sum(len(tokens) + 1 for _, hyps in work for tokens in hyps)
        write_json(out / DONE, {"settings": settings, "utterances": len(work), "steps": steps, **frames})
        shutil.rmtree(parts)
    print(f"{out}: soft targets of {len(work)} utterances, {'of frames alone' if alone else f'{steps} steps'}")


def read_work(
    targets: Path, data: Sequence[str], models: Models, reading: Reading = AS_IT_IS
) -> list[tuple[Row, list[list[int]]]]:
    """Each utterance of the targets and its hypotheses, shorter ones of audio last."""
    rows: dict[str, Row] = {}
    frames: dict[str, int] = {}
    for directory in data:
        rows |= {row.name: row for row in read_rows(directory, models.first, reading)}
        counts = Path(directory) / "utt2num_frames"
        if counts.is_file():
            frames |= {key: int(value) for key, value in read_table(counts).items()}
    flat = read_table(targets / "hyps", empty=True)
    lens = read_table(targets / "hyp_lens")
    work = []
    for key in sorted(flat, key=lambda key: (-frames.get(key, 0), key)):
        if key not in rows:
            raise UserError(f"{targets}: {key} is in none of {' '.join(map(str, data))}; name its feature directory")
        try:
            tokens, counts = ([int(word) for word in columns(row)] for row in (flat[key], lens.get(key, "")))
        except ValueError:
            tokens, counts = [], []
        if min([*tokens, *counts], default=0) < 0 or sum(counts) != len(tokens) or not counts:
            raise UserError(f"{targets}/hyp_lens: {key} does not fit its hyps; make the targets again (kdasr targets)")
        ends = [sum(counts[: k + 1]) for k in range(len(counts))]
        work.append((rows[key], [tokens[end - n : end] for n, end in zip(counts, ends, strict=True)]))
    return work


def when(out: Path, models: Models, work: Sequence[tuple[Row, list[list[int]]]]) -> dict[str, dict[str, float]]:
    """When the teacher's encoded frames are, as soft.json records it; prints it. Empty where it is not known.

    Raises:
        UserError: a teacher has no CTC branch; teachers of an ensemble have frames at different times; it is not known
            which frames of an S2T model are of the audio, and which of the silence behind.
    """
    made = {} if models.first.sample_rate else made_as({row.name: row.place for row, _ in work})
    configs = {source.directory: read_config(source.directory) for source in models.sources}
    try:
        times = frame_times.of_teachers(configs, frame_times.of_features(made))
    except frame_times.NotKnown as error:
        if models.first.s2t:
            raise UserError(
                f"{models.first.directory}: {error}, so not which are of the audio that this S2T model hears filled "
                "up with silence; leave out --ctc"
            ) from None
        print(f"{out}: {error}: students need the same number of frames")
        return {}
    print(f"{out}: the teacher's frames {times}")
    return {"frames": times._asdict()}


def merged(parts: Path, shards: int, second: bool = False) -> Iterator[tuple[str, np.ndarray]]:
    """Each utterance and its matrix (R, 2J), or the second one (S, 2J), of all parts."""
    remedy = f"remove {parts} and run kdasr soft again"
    for shard in range(shards):
        path = parts / f"{shard}.npz"
        keys = read_npz(path, ["keys"], remedy)["keys"].tolist()
        names = {key: f"arr_{n + len(keys) * second}" for n, key in enumerate(keys)}
        found = read_npz(path, names.values(), remedy)
        for key, name in names.items():
            yield key, found[name]


def make_part(*args: Any, **options: Any) -> float:
    """`kdasr.targets.distributions.make_part`, in a process of its own."""
    from kdasr.targets import distributions  # seconds, for processes that compute: others look at files alone

    return distributions.make_part(*args, **options)
