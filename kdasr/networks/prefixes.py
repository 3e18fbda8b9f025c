"""The distinct prefixes of a batch's hypotheses, and a decoder's output after each.

    B  utterances   K  hypotheses of each   L  output steps (tokens and <eos>)   V  tokens
    N  distinct prefixes, over the batch    S  encoded frames                    E  encoder size

The hypotheses of an N-best list differ in a few tokens, so most of their prefixes are the same, and a
decoder that is given a prefix twice gives the same twice. Here they form a tree for each utterance: a node is a
prefix, its parent the prefix without its last token. A decoder runs once for each node; `path` gives the
node of each step of each hypothesis, by which losses find their values.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdasr.espnet import name
from kdasr.losses.sequence import PADDING
from kdasr.networks.recurrence import spans


class Prefixes(NamedTuple):
    """Distinct prefixes, shorter ones first; those of a length by utterance."""

    tokens: Tensor  # (N,) the last token of each, <sos> of a root
    parent: Tensor  # (N,) the prefix without it, -1 of a root
    owner: Tensor  # (N,) the utterance
    sizes: tuple[int, ...]  # L numbers of prefixes, by length
    path: Tensor  # (B, K, L) the prefix before each step of each hypothesis, -1 where there is no step
    place: Tensor  # (N,) a step that stands behind each: its index in (B * K * L)


class Decoded(NamedTuple):
    """A decoder's output after prefixes, in an order that the decoder chooses."""

    logits: Tensor  # (N, V)
    path: Tensor  # (B, K, L) as in Prefixes
    place: Tensor  # (N,) as in Prefixes


def with_sos_eos(targets: Tensor, sos: int, eos: int) -> tuple[Tensor, Tensor]:
    """Targets (B, K, L - 1) as what goes into a decoder and what should come out: (B, K, L) both, PADDING behind."""
    lens = (targets != PADDING).sum(-1, keepdim=True)  # (B, K, 1)
    ys_in = torch.nn.functional.pad(targets, (1, 0), value=sos)  # (B, K, L)
    ys_out = torch.nn.functional.pad(targets, (0, 1), value=PADDING)  # (B, K, L)
    return ys_in, ys_out.scatter(-1, lens, eos)


def prefixes_of(ys_in: Tensor, used: Tensor, share: bool = True) -> Prefixes:
    """The distinct prefixes of hypotheses.

    Args:
        ys_in: (B, K, L) what goes into a decoder, <sos> first, PADDING behind.
        used: (B, K) false where a hypothesis does not count.
        share: whether prefixes that are equal are one; else each hypothesis has its own.
    """
    batch, hyps, steps = ys_in.shape
    valid = (ys_in != PADDING) & used[..., None]  # (B, K, L)
    own = torch.arange(hyps, device=ys_in.device)[None, :, None]  # (1, K, 1)
    if share and hyps > 1:
        same = (ys_in[:, :, None] == ys_in[:, None]).cumprod(-1).bool()  # (B, K, K, L) hypotheses k, j up to here
        first = (same & used[:, None, :, None]).to(torch.uint8).argmax(2)  # (B, K, L) the first j that is the same
    else:
        first = own.expand(batch, hyps, steps)  # (B, K, L)
    new = valid & (first == own)  # (B, K, L)
    by_length = new.permute(2, 0, 1)  # (L, B, K)
    number = (by_length.flatten().cumsum(0) - 1).view(steps, batch, hyps).permute(1, 2, 0)  # (B, K, L)
    path = number.gather(1, first).masked_fill(~valid, -1)  # (B, K, L)
    length, owner, hyp = by_length.nonzero(as_tuple=True)  # (N,) each
    sizes = tuple(size for size in by_length.sum((1, 2)).tolist() if size)
    before = path[owner, hyp, (length - 1).clamp(min=0)]  # (N,)
    return Prefixes(
        tokens=ys_in[owner, hyp, length],
        parent=before.masked_fill(length == 0, -1),
        owner=owner,
        sizes=sizes,
        path=path,
        place=(owner * hyps + hyp) * steps + length,
    )


def chains(prefixes: Prefixes) -> tuple[Tensor, Tensor, Tensor]:
    """An order of prefixes, one hypothesis an utterance, in which those of a length continue the first ones before.

    Returns:
        order: (N,) prefixes: shorter ones first, those of a length by utterance, longer utterances first.
        utterances: (B,) which come first, second and so on.
        rank: (N,) of each prefix in that order, its utterance's place in `utterances`.
    """
    path = prefixes.path[:, 0]  # (B, L)
    utterances = (path >= 0).sum(1).argsort(descending=True, stable=True)  # (B,)
    by_length = path[utterances].t().flatten()  # (L * B,)
    place = (by_length < 0).to(torch.uint8).argsort(stable=True)[: len(prefixes.tokens)]  # (N,) of those that are there
    return by_length[place], utterances, place % len(path)


def decode_prefixes(decoder: Any, encoded: Tensor, frames: Tensor, ys_in: Tensor, used: Tensor) -> Decoded:
    """Logits of any ESPnet decoder after every prefix of hypotheses; equal prefixes once where the decoder allows it.

    Args:
        decoder: kdasr's (with `forward_prefixes`), ESPnet's transformer, or any other that reads whole targets.
        encoded: (B, S, E).
        frames: (B,) of them valid.
        ys_in: (B, K, L) <sos> first, PADDING behind.
        used: (B, K) which hypotheses.
    """
    own = hasattr(decoder, "forward_prefixes")
    if own or is_transformer(decoder):
        prefixes = prefixes_of(ys_in, used)
        forward = decoder.forward_prefixes if own else functools.partial(transformer_logits, decoder)
        return Decoded(forward(encoded, frames, prefixes), prefixes.path, prefixes.place)  # (N, V)
    utterance, slot = used.nonzero(as_tuple=True)  # (R,), (R,)
    hyps, steps = ys_in.shape[1:]
    rows = ys_in[utterance, slot]  # (R, L)
    lens = (rows != PADDING).sum(-1)  # (R,)
    padded = rows.masked_fill(rows == PADDING, decoder_eos(decoder, rows))  # (R, L)
    logits, _ = decoder(encoded[utterance], frames[utterance], padded, lens)  # (R, L, V)
    step = torch.arange(steps, device=ys_in.device)  # (L,)
    path = ys_in.new_full(ys_in.shape, -1)  # (B, K, L)
    path[utterance, slot] = torch.arange(len(rows), device=rows.device)[:, None] * steps + step  # (R, L)
    place = (utterance * hyps + slot)[:, None] * steps + step  # (R, L)
    return Decoded(logits.flatten(0, 1), path.masked_fill(ys_in == PADDING, -1), place.flatten())


def decoder_eos(decoder: Any, rows: Tensor) -> int:
    """The padding of a decoder's input: its <eos>, which in ESPnet's models is <sos>, too."""
    return int(getattr(decoder, "eos", rows[0, 0]))


def is_transformer(decoder: Any) -> bool:
    """Whether this is ESPnet's own transformer decoder, with embedded tokens and sinusoidal positions."""
    if type(decoder) is not name("espnet2.asr.decoder.transformer_decoder:TransformerDecoder"):
        return False
    table, positions = decoder.embed[0], decoder.embed[-1]
    return isinstance(table, torch.nn.Embedding) and type(positions).__name__ == "PositionalEncoding"


def transformer_logits(decoder: Any, encoded: Tensor, frames: Tensor, prefixes: Prefixes) -> Tensor:
    """Logits (N, V) of ESPnet's transformer decoder: a prefix attends to itself and to those that it begins with.

    | axis | meaning |
    |---|---|
    | P | prefixes of an utterance, at most |
    """
    batch, device = len(encoded), encoded.device
    owner, parent = prefixes.owner, prefixes.parent  # (N,), (N,)
    order = owner.argsort(stable=True)  # (N,) by utterance, shorter prefixes first in each
    counts = torch.bincount(owner, minlength=batch)  # (B,)
    begin = counts.cumsum(0) - counts  # (B,)
    column = torch.empty_like(owner)  # (N,) number in its utterance
    column[order] = torch.arange(len(owner), device=device) - begin[owner[order]]
    most = int(counts.max())
    lengths = torch.arange(len(prefixes.sizes), device=device)  # (L,)
    depth = lengths.repeat_interleave(torch.tensor(prefixes.sizes, device=device), output_size=len(owner))  # (N,)
    tokens = prefixes.tokens.new_zeros(batch, most)  # (B, P)
    position, sees = torch.zeros_like(tokens), torch.eye(most, dtype=torch.bool, device=device).repeat(batch, 1, 1)
    tokens[owner, column] = prefixes.tokens
    position[owner, column] = depth
    for start, end in spans(prefixes.sizes):  # shorter prefixes first: longer ones copy what they see
        if start:
            whose, here = owner[start:end], column[start:end]  # (n,) both
            sees[whose, here] |= sees[whose, column[parent[start:end]]]  # (n, P)
    embedding, positions = decoder.embed
    x = embedding(tokens)  # (B, P, D)
    positions.extend_pe(x)  # makes its table long enough for x
    x = positions.dropout(x * math.sqrt(x.size(-1)) + positions.pe[0].to(x)[position])  # (B, P, D)
    valid = torch.arange(encoded.size(1), device=device)[None, None] < frames.to(device)[:, None, None]  # (B, 1, S)
    mask = sees
    for layer in decoder.decoders:
        x, mask, encoded, valid = layer(x, mask, encoded, valid)[:4]  # (B, P, D)
    if decoder.normalize_before:
        x = decoder.after_norm(x)  # (B, P, D)
    return decoder.output_layer(x[owner, column])  # (N, V)
