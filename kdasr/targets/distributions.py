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

import math
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
from kdasr.s2t import S2T
from kdasr.search import engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import Row
from kdasr.targets import frame_times
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
    """Soft targets of one part, written whole, those of its steps only with `words`; returns its `amount`."""
    options, computing = SearchOptions(ctc_weight=0.0 if words else 1.0), Computing(batch_frames, device)
    loaded = engine.loaded(models, options, computing)
    inputs = [loaded.read(row) for row, _ in work]
    lengths = [loaded.frames(x) for x in inputs]
    computed = [loaded.computed(x) for x in inputs]
    steps: dict[str, np.ndarray] = {}
    frames: dict[str, np.ndarray] = {}
    done = 0.0
    for batch in batches(computed, [len(hyps) for _, hyps in work], batch_frames):
        names = [work[n][0].name for n in batch]
        made = soften(loaded, [inputs[n] for n in batch], [work[n][1] for n in batch], names, how, words)
        steps |= dict(zip(names, made[0], strict=False))
        frames |= dict(zip(names, made[1], strict=False))
        for n in batch:
            done += (more := loaded.amount(work[n][0], lengths[n]))
            progress(more)
    with atomic_write(parts / f"{shard}.npz", "wb") as stream:
        np.savez(stream, *steps.values(), *frames.values(), keys=np.array(list(steps or frames)))
    return done


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
    device, s2t = loaded.device, loaded.source.s2t
    longest = max(len(tokens) for one in hyps for tokens in one)
    # Filled in here and moved as a whole: a GPU would be waited for at each hypothesis.
    targets = torch.full((len(hyps), max(map(len, hyps)), longest), PADDING)  # (B, K, L - 1)
    used = torch.zeros(targets.shape[:2], dtype=torch.bool)  # (B, K)
    for b, one in enumerate(hyps):
        for k, tokens in enumerate(one):
            given = [s2t.ids[token] for token in tokens] if s2t else tokens
            targets[b, k, : len(tokens)] = torch.tensor(given, dtype=torch.long)
            used[b, k] = True
    targets, used = targets.to(device), used.to(device)
    step_logprobs: list[Tensor] = []  # (all R, V) a teacher
    frame_logprobs: list[Tensor] = []  # (all S, V) a teacher
    frames: list[int] = []  # B, of each teacher the same
    with torch.no_grad():
        for encoder in loaded.encoders:
            encoded = encoder.encode([torch.from_numpy(x).to(device) for x in inputs])
            short = [name for name, hs in zip(names, encoded, strict=True) if hs is None or not len(hs)]
            if short:
                raise UserError(f"{short[0]}: its audio is too short for the teacher; leave it out of the targets")
            hlens = torch.tensor([len(hs) for hs in encoded], device=device)  # (B,)
            hs = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)  # (B, S, E)
            model = encoder.model
            if words:
                ys_in, wanted = prompted(with_sos_eos(targets, model.sos, model.eos)[0], used, s2t)  # (B, K, L)
                decoded = decode_prefixes(model.decoder, hs, hlens, ys_in, used)
                step_logprobs.append(of_text(at(decoded, wanted.flatten().nonzero().squeeze(1)), s2t))
            if how.ctc:
                heard = [of_audio(hs, loaded, len(x)) for hs, x in zip(encoded, inputs, strict=True)]  # (S, E) each
                frames = [len(hs) for hs in heard]  # B
                frame_logprobs.append(of_text(ctc_frames(model, torch.cat(heard)[None])[0], s2t))
    counts = [sum(len(tokens) + 1 for tokens in one) for one in hyps]
    rows = kept(step_logprobs, counts, names, how) if words else []
    return rows, kept(frame_logprobs, frames, names, how) if how.ctc else []


def prompted(ys_in: Tensor, used: Tensor, s2t: S2T | None) -> tuple[Tensor, Tensor]:
    """What goes into a decoder, with an S2T model's prompt behind <sos>, and the steps that stand for targets.

    Args:
        ys_in: (B, K, L) targets, <sos> first, PADDING behind.
        used: (B, K) which of them count.
        s2t: how an S2T model is used; None for other models.

    Returns:
        (B, K, P + L) both, P tokens of the prompt.
    """
    prompt = torch.tensor(s2t.prompt if s2t else (), dtype=ys_in.dtype, device=ys_in.device)  # (P,)
    longer = torch.cat((ys_in[..., :1], prompt.expand(*used.shape, -1), ys_in[..., 1:]), 2)  # (B, K, P + L)
    wanted = (longer != PADDING) & used[..., None]  # (B, K, P + L)
    wanted[..., : len(prompt)] = False  # what the prompt itself should be is no question
    return longer, wanted


def of_text(logprobs: Tensor, s2t: S2T | None) -> Tensor:
    """Distributions (rows, V) of a model over its students' tokens: an S2T model's symbols are as if they were not."""
    if s2t is None:
        return logprobs
    return logprobs[:, torch.tensor(s2t.ids, device=logprobs.device)].log_softmax(1)  # (rows, V of the students)


def of_audio(hs: Tensor, loaded: engine.Engine, samples: int) -> Tensor:
    """Encoded frames (S, E) without those of the silence that an S2T model hears behind `samples` of audio.

    A frame is of the audio if its centre is (kdasr.targets.frame_times).
    """
    if loaded.source.s2t is None:
        return hs
    times = frame_times.of_model(vars(loaded.args), frame_times.of_features({}))
    return hs[: max(1, math.ceil((samples - times.first) / times.step))]


def kept(each: Sequence[Tensor], counts: Sequence[int], names: Sequence[str], how: How) -> list[np.ndarray]:
    """Matrices (rows, 2J) of utterances, of the mean of teachers' distributions (all rows, V)."""
    logp = each[0] if len(each) == 1 else combined(torch.stack(list(each)), how.weights, how.mean)  # (all rows, V)
    ids, values = most_probable(logp, how.kept)  # (all rows, J) both
    rows = torch.cat([ids.float(), values], 1).cpu()  # (all rows, 2J)
    for name, one in zip(names, rows.split(list(counts)), strict=True):
        if not torch.isfinite(one).all():
            raise UserError(f"{name}: the teacher gives values that are not numbers; check its training")
    return [one.numpy() for one in rows.split(list(counts))]
