"""`kdasr soft`: soft targets of a targets directory: a teacher's distribution at each step of what a student trains on.

| axis | meaning |
|---|---|
| B | utterances |
| K | hypotheses of each |
| L | output steps: tokens and <eos> |
| J | tokens kept of a distribution, most probable first |
| R | steps of all hypotheses of an utterance, one hypothesis after the other |
| E, S | encoder output, encoded frames |

The teacher reads each text (a reference or a hypothesis, whoever made it) along its audio and says what it would
have expected after each token. `kdasr nbest --soft_targets` writes the same for the hypotheses of a search; this
verb is for references, for other teachers than the one that searched, and for ensembles.

Writes soft.ark and soft.scp beside the targets' other tables: a matrix (R, 2J) an utterance, token ids and then
natural logarithms. With --ctc also ctc.ark and ctc.scp: (S, 2J), what the teacher's CTC branch gives in each
encoded frame, for students that encode at its rate. A killed run is taken up where it was: finished parts wait in
`.soft/`.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kdasr.arrays import read_npz
from kdasr.errors import UserError
from kdasr.files import atomic_write, columns, only_writer, read_json, read_table, write_json
from kdasr.losses import MEANS
from kdasr.models import Models, find_models
from kdasr.nbest.target_files import write_soft_table
from kdasr.search import engine
from kdasr.search.options import SearchOptions
from kdasr.shards import claim, cut, digest
from kdasr.workers import run_shards

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

EXAMPLES = """examples:
  # word-level distillation on references: what the teacher expects at each of their tokens
  kdasr targets --refs dump/fbank/train/text --tokens dump/tokens/char --out exp/teacher/targets_word
  kdasr soft --model exp/teacher --targets exp/teacher/targets_word --data dump/fbank/train --nj 2
  # an ensemble's mean, all of the vocabulary
  kdasr soft --model exp/teacher_a exp/teacher_b --targets exp/t --data dump/fbank/train dump/fbank/extra --kept 0
"""

SHARD_SIZE = 256
DONE = "soft.json"


class How(NamedTuple):
    """How distributions are made."""

    kept: int  # J, 0 for all
    mean: str  # of several teachers
    weights: tuple[float, ...]  # theirs
    ctc: bool  # whether the CTC branch's are wanted, too


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr soft`."""
    add = parser.add_argument
    add("--model", required=True, nargs="+", metavar="DIR", help="the teacher; several are an ensemble")
    add("--model_file", metavar="NAME", help="checkpoint in --model (default valid.acc.ave.pth)")
    add("--targets", required=True, metavar="DIR", help="targets directory (kdasr targets); soft.scp is written there")
    add("--data", required=True, nargs="+", metavar="DIR", help="feature directories of its utterances")
    add("--kept", type=int, default=8, metavar="J", help="most probable tokens kept a step, 0 for all (default 8)")
    add("--ctc", action="store_true", help="also what its CTC branch gives in each encoded frame (ctc.scp)")
    add("--ensemble", choices=MEANS, default="arithmetic", help="mean of several teachers (default arithmetic)")
    add("--weights", type=float, nargs="+", metavar="W", help="of the teachers, summing to 1 (default equal)")
    add("--batch_frames", type=int, default=40000, help="padded frames x hypotheses in a batch (default 40000)")
    add("--nj", type=int, default=1, help="processes on this machine (default 1)")
    add("--ngpu", type=int, default=0, help="0: CPU, 1: a GPU (default 0)")


def run(args: argparse.Namespace) -> None:
    """Make what is missing of the soft targets, and put them together."""
    out = Path(args.targets)
    if not (out / "targets.json").is_file():
        raise UserError(f"{out}: holds no targets.json; select targets first (kdasr targets --out {out})")
    if args.kept < 0 or args.nj < 1 or args.batch_frames < 1 or (args.ngpu and args.nj > 1):
        raise UserError("--kept: expected 0 or more; --nj and --batch_frames: 1 or more; --ngpu 1 goes with --nj 1")
    weights = args.weights or [1 / len(args.model)] * len(args.model)
    if len(weights) != len(args.model) or not (all(w > 0 for w in weights) and abs(sum(weights) - 1) <= 1e-4):
        raise UserError(f"--weights {weights}: expected {len(args.model)} numbers above 0 that sum to 1")
    models = find_models(args.model, args.model_file)
    made_for = read_json(out / "targets.json")["settings"].get("tokens")
    if made_for not in (None, models.first.hashes[2]):
        raise UserError(f"{out}: its targets are of another token list than {args.model[0]}; name their own teacher")
    how = How(args.kept, args.ensemble, tuple(weights), args.ctc)
    settings = {**models.settings(), **how._asdict(), "weights": weights}
    settings |= {name: digest(out / name) for name in ("hyps", "hyp_lens")}
    if (out / DONE).is_file() and (out / "soft.scp").is_file():
        there = read_json(out / DONE)["settings"]
        if there == settings:
            print(f"{out}: has these soft targets already; to make them again: rm {out}/{{soft,ctc}}.*")
            return
        differing = ", ".join(sorted(key for key in settings if there.get(key) != settings[key]))
        raise UserError(f"{out}: has soft targets of other {differing}; remove them first: rm {out}/{{soft,ctc}}.*")
    work = read_work(out, args.data, models)
    parts = out / ".soft"
    with only_writer(out, name=".soft.lock"):
        claim(parts, settings)
        shards = cut(work, SHARD_SIZE)  # type: ignore[type-var]
        todo = [(s, rows) for s, rows in enumerate(shards) if not (parts / f"{s}.npz").is_file()]
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        device = "cuda" if args.ngpu else "cpu"
        load = functools.partial(engine.loaded, models, SearchOptions(ctc_weight=0.0), args.batch_frames, device)
        make = functools.partial(make_part, parts, load, how)
        run_shards(make, todo, args.nj, f"{out.name}: soft targets")
        if how.ctc:
            write_soft_table(out, out, merged(parts, len(shards), second=True), "ctc")
        write_soft_table(out, out, merged(parts, len(shards)))
        steps = sum(len(tokens) + 1 for _, hyps in work for tokens in hyps)
        write_json(out / DONE, {"settings": settings, "utterances": len(work), "steps": steps})
        shutil.rmtree(parts)
    print(f"{out}: soft targets of {len(work)} utterances, {steps} steps")


def read_work(targets: Path, data: Sequence[str], models: Models) -> list[tuple[engine.Row, list[list[int]]]]:
    """Each utterance of the targets and its hypotheses, shorter ones of audio last."""
    rows: dict[str, engine.Row] = {}
    frames: dict[str, int] = {}
    for directory in data:
        rows |= {row.name: row for row in engine.read_rows(directory, models.first)}
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


def make_part(
    parts: Path,
    load: Callable[[], engine.Engine],
    how: How,
    shard: int,
    work: Sequence[tuple[engine.Row, list[list[int]]]],
    progress: Callable[[float], None] = lambda _: None,
) -> float:
    """Soft targets of one part, written whole; returns its hours of audio."""
    import numpy as np

    loaded = load()
    inputs = [loaded.read(row) for row, _ in work]
    lengths = [loaded.frames(x) for x in inputs]
    steps: dict[str, np.ndarray] = {}
    frames: dict[str, np.ndarray] = {}
    hours = 0.0
    for batch in batches(lengths, [len(hyps) for _, hyps in work], loaded.batch_frames):
        names = [work[n][0].name for n in batch]
        made = soften(loaded, [inputs[n] for n in batch], [work[n][1] for n in batch], names, how)
        steps |= dict(zip(names, made[0], strict=True))
        frames |= dict(zip(names, made[1], strict=False))
        for n in batch:
            hours += (spent := loaded.seconds(work[n][0], lengths[n]) / 3600)
            progress(spent)
    with atomic_write(parts / f"{shard}.npz", "wb") as stream:
        np.savez(stream, *steps.values(), *frames.values(), keys=np.array(list(steps)))
    return hours


def batches(lengths: Sequence[int], hyps: Sequence[int], most: int) -> list[list[int]]:
    """Numbers of utterances that go together: padded frames x hypotheses up to `most`, at least one."""
    found: list[list[int]] = []
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        size = (len(found[-1]) + 1) * max(hyps[i] for i in [*found[-1], n]) if found else 0
        if found and size * lengths[found[-1][0]] <= most:
            found[-1].append(n)
        else:
            found.append([n])
    return found


def soften(
    loaded: engine.Engine,
    inputs: Sequence[np.ndarray],
    hyps: Sequence[Sequence[Sequence[int]]],
    names: Sequence[str],
    how: How,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Matrices (R, 2J) of utterances, what the teachers expect at each step; and (S, 2J), in each encoded frame."""
    import torch

    from kdasr.asr.prefixes import PADDING, decode_prefixes, with_sos_eos
    from kdasr.asr.teachers import at, ctc_frames

    device = loaded.device
    longest = max(len(tokens) for one in hyps for tokens in one)
    targets = torch.full((len(hyps), max(map(len, hyps)), longest), PADDING, device=device)  # (B, K, L - 1)
    used = torch.zeros(targets.shape[:2], dtype=torch.bool, device=device)  # (B, K)
    for b, one in enumerate(hyps):
        for k, tokens in enumerate(one):
            targets[b, k, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            used[b, k] = True
    expected: list[Tensor] = []  # (all R, V) a teacher
    heard: list[Tensor] = []  # (all S, V) a teacher
    with torch.no_grad():
        for encoder in loaded.encoders:
            encoded = encoder.encode([torch.from_numpy(x).to(device) for x in inputs])
            short = [name for name, hs in zip(names, encoded, strict=True) if hs is None or not len(hs)]
            if short:
                raise UserError(f"{short[0]}: its audio is too short for the teacher; leave it out of the targets")
            frames = [len(hs) for hs in encoded]  # B
            hs = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)  # (B, S, E)
            model = encoder.model
            ys_in, _ = with_sos_eos(targets, model.sos, model.eos)  # (B, K, L)
            decoded = decode_prefixes(model.decoder, hs, torch.tensor(frames, device=device), ys_in, used)
            steps = ((ys_in != PADDING) & used[..., None]).flatten().nonzero().squeeze(1)  # (all R,)
            expected.append(at(decoded, steps))
            if how.ctc:
                heard.append(ctc_frames(model, torch.cat(encoded)[None])[0])
    counts = [sum(len(tokens) + 1 for tokens in one) for one in hyps]
    rows = kept(expected, counts, names, how)
    return rows, kept(heard, frames, names, how) if how.ctc else []


def kept(each: Sequence[Tensor], counts: Sequence[int], names: Sequence[str], how: How) -> list[np.ndarray]:
    """Matrices (rows, 2J) of utterances, of the mean of teachers' distributions (all rows, V)."""
    import torch

    from kdasr.losses.ensemble import combined
    from kdasr.losses.word import most_probable

    logp = each[0] if len(each) == 1 else combined(torch.stack(list(each)), how.weights, how.mean)  # (all rows, V)
    ids, values = most_probable(logp, how.kept)  # (all rows, J) both
    rows = torch.cat([ids.float(), values], 1).cpu()  # (all rows, 2J)
    for name, one in zip(names, rows.split(list(counts)), strict=True):
        if not torch.isfinite(one).all():
            raise UserError(f"{name}: the teacher gives values that are not numbers; look at its training")
    return [one.numpy() for one in rows.split(list(counts))]


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
