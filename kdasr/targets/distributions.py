"""What a teacher expects at each step of a target, and in each encoded frame: the computation behind `kdasr soft`.

| axis | meaning |
|---|---|
| B | utterances |
| K | hypotheses of each |
| L | output steps: tokens and <eos> |
| J | tokens kept of a distribution, most probable first |
| R | steps of all hypotheses of an utterance, one hypothesis after the other |
| E, S | encoder output, encoded frames |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.losses.ensemble import combined
from kdasr.losses.word import most_probable
from kdasr.models import Models
from kdasr.networks.prefixes import PADDING, decode_prefixes, with_sos_eos
from kdasr.networks.teachers import at, ctc_frames
from kdasr.search import engine
from kdasr.search.options import SearchOptions
from kdasr.search.rows import Row
from kdasr.targets.settings import How


def make_part(
    parts: Path,
    models: Models,
    batch_frames: int,
    device: str,
    how: How,
    shard: int,
    work: Sequence[tuple[Row, list[list[int]]]],
    progress: Callable[[float], None] = lambda _: None,
    words: bool = True,
) -> float:
    """Soft targets of one part, written whole, those of its steps only with `words`; returns its hours of audio."""
    loaded = engine.loaded(models, SearchOptions(ctc_weight=0.0 if words else 1.0), batch_frames, device)
    inputs = [loaded.read(row) for row, _ in work]
    lengths = [loaded.frames(x) for x in inputs]
    steps: dict[str, np.ndarray] = {}
    frames: dict[str, np.ndarray] = {}
    hours = 0.0
    for batch in batches(lengths, [len(hyps) for _, hyps in work], loaded.batch_frames):
        names = [work[n][0].name for n in batch]
        made = soften(loaded, [inputs[n] for n in batch], [work[n][1] for n in batch], names, how, words)
        steps |= dict(zip(names, made[0], strict=False))
        frames |= dict(zip(names, made[1], strict=False))
        for n in batch:
            hours += (spent := loaded.seconds(work[n][0], lengths[n]) / 3600)
            progress(spent)
    with atomic_write(parts / f"{shard}.npz", "wb") as stream:
        np.savez(stream, *steps.values(), *frames.values(), keys=np.array(list(steps or frames)))
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
    words: bool = True,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Matrices (R, 2J) of utterances, the teachers' distribution at each step; and (S, 2J), in each encoded frame.

    Either list is empty if it is not wanted: of steps without `words`, of frames without `how.ctc`.
    """
    device = loaded.device
    longest = max(len(tokens) for one in hyps for tokens in one)
    targets = torch.full((len(hyps), max(map(len, hyps)), longest), PADDING, device=device)  # (B, K, L - 1)
    used = torch.zeros(targets.shape[:2], dtype=torch.bool, device=device)  # (B, K)
    for b, one in enumerate(hyps):
        for k, tokens in enumerate(one):
            targets[b, k, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            used[b, k] = True
    step_logprobs: list[Tensor] = []  # (all R, V) a teacher
    frame_logprobs: list[Tensor] = []  # (all S, V) a teacher
    with torch.no_grad():
        for encoder in loaded.encoders:
            encoded = encoder.encode([torch.from_numpy(x).to(device) for x in inputs])
            short = [name for name, hs in zip(names, encoded, strict=True) if hs is None or not len(hs)]
            if short:
                raise UserError(f"{short[0]}: its audio is too short for the teacher; leave it out of the targets")
            frames = [len(hs) for hs in encoded]  # B
            hs = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)  # (B, S, E)
            model = encoder.model
            if words:
                ys_in, _ = with_sos_eos(targets, model.sos, model.eos)  # (B, K, L)
                decoded = decode_prefixes(model.decoder, hs, torch.tensor(frames, device=device), ys_in, used)
                steps = ((ys_in != PADDING) & used[..., None]).flatten().nonzero().squeeze(1)  # (all R,)
                step_logprobs.append(at(decoded, steps))
            if how.ctc:
                frame_logprobs.append(ctc_frames(model, torch.cat(encoded)[None])[0])
    counts = [sum(len(tokens) + 1 for tokens in one) for one in hyps]
    rows = kept(step_logprobs, counts, names, how) if words else []
    return rows, kept(frame_logprobs, frames, names, how) if how.ctc else []


def kept(each: Sequence[Tensor], counts: Sequence[int], names: Sequence[str], how: How) -> list[np.ndarray]:
    """Matrices (rows, 2J) of utterances, of the mean of teachers' distributions (all rows, V)."""
    logp = each[0] if len(each) == 1 else combined(torch.stack(list(each)), how.weights, how.mean)  # (all rows, V)
    ids, values = most_probable(logp, how.kept)  # (all rows, J) both
    rows = torch.cat([ids.float(), values], 1).cpu()  # (all rows, 2J)
    for name, one in zip(names, rows.split(list(counts)), strict=True):
        if not torch.isfinite(one).all():
            raise UserError(f"{name}: the teacher gives values that are not numbers; check its training")
    return [one.numpy() for one in rows.split(list(counts))]
