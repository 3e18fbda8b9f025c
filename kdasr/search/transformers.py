"""ESPnet's transformer decoder and transformer language model as scorers of a grid.

| axis | meaning |
|---|---|
| B | utterances |
| K | hypotheses an utterance |
| J | layers |
| G | heads, of D units each |
| S | encoder frames, padded |
| U | units of a layer, G * D |
| P | places that the cache has room for |
| V | tokens |

Keys and values of the encoder output are computed once an utterance. Those of the prefixes are written once, K places
a step, and a hypothesis has a mask that marks the places of its own past. When hypotheses change slots only the masks
move, K * P booleans, instead of J * P * 2U numbers, and the hypotheses of an utterance attend in one matrix product.
Most places soon belong to no hypothesis that is left; on a CPU they are dropped before a full cache grows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kdasr.espnet import name
from kdasr.search import tree

GROWTH = 16  # steps that a full cache is given room for


class Past(NamedTuple):
    """The prefixes of a grid."""

    keys: Tensor  # (B, J, G, P, D)
    values: Tensor  # (B, J, G, P, D)
    own: Tensor  # (B, K, P) true at a hypothesis's own past
    length: Tensor  # (B,) tokens that each utterance's prefixes have
    filled: Tensor  # (B,) places that are in use; the next token's are behind them
    steps: int | None  # the largest length, at least; None: all of the room is read, and it does not grow
    used: int  # the largest number of places in use, at least


def empty_past(batch: int, hypotheses: int, layers: Any, like: Tensor) -> Past:
    """No tokens yet, for K hypotheses of B utterances; `like` has the type and the device."""
    attention = layers[0].self_attn
    keys = like.new_zeros(batch, len(layers), attention.h, 0, attention.d_k)  # (B, J, G, 0, D)
    own = torch.zeros(batch, hypotheses, 0, dtype=torch.bool, device=like.device)  # (B, K, 0)
    none = own.new_zeros(batch, dtype=torch.int64)  # (B,)
    return Past(keys, keys, own, none, none, 0, 0)


def move(past: Past, parents: Tensor) -> Past:
    """Prefixes in which hypothesis k of utterance b is a child of parents[b, k] (B, K)."""
    return past._replace(own=tree.reorder(past.own, parents))


def keep(old: Any, utterances: Tensor) -> Any:
    """Memory or prefixes of these utterances (B',) only; a cache without the places that no utterance has any more."""
    return _trimmed(tree.keep(old, utterances))


def put(old: Any, utterances: Tensor, new: Any) -> Any:
    """Memory or prefixes in which these utterances (B',) are replaced by those of `new`."""
    return _trimmed(tree.put(old, utterances, new))


def _trimmed(moved: Any) -> Any:
    if not isinstance(moved, Past) or moved.steps is None:
        return moved
    steps, used = torch.stack((moved.length, moved.filled)).amax(1).tolist()
    keys, values = moved.keys[:, :, :, :used].contiguous(), moved.values[:, :, :, :used].contiguous()
    return Past(keys, values, moved.own[:, :, :used], moved.length, moved.filled, steps, used)


def with_room(state: Any, steps: int) -> Any:
    """A scorer's state in which caches have room for so many tokens from the start, so that their shape stays."""
    if isinstance(state, Past):
        places = steps * state.own.shape[1]
        return roomier(state, places - state.own.shape[2])._replace(steps=None, used=places)
    if isinstance(state, tuple) and not hasattr(state, "_fields"):  # of an ensemble
        return tuple(with_room(one, steps) for one in state)
    return state


def roomier(past: Past, more: int) -> Past:
    """Prefixes with room for so many more places."""
    keys, values = (F.pad(cache, (0, 0, 0, more)) for cache in (past.keys, past.values))
    return past._replace(keys=keys, values=values, own=F.pad(past.own, (0, more)))


def compact(past: Past) -> Past:
    """Prefixes without the places that belong to no hypothesis; what is left stays in its order."""
    alive = past.own.any(1)  # (B, P)
    filled = alive.sum(1)  # (B,)
    used = int(filled.max())
    order = alive.byte().sort(dim=1, descending=True, stable=True)[1][:, :used]  # (B, P')
    keys, values = (
        torch.stack([one.index_select(2, places) for one, places in zip(cache, order, strict=True)])
        for cache in (past.keys, past.values)
    )
    own = past.own.gather(2, order.unsqueeze(1).expand(-1, past.own.shape[1], -1))  # (B, K, P')
    return past._replace(keys=keys, values=values, own=own, filled=filled, used=used)


def next_place(past: Past, visible: Tensor | None = None) -> tuple[Past, Tensor]:
    """Room for one more token of each hypothesis, marked as its own, and its place (B, K).

    Args:
        past: the prefixes.
        visible: (B, K) whether later tokens shall see this one; None for all.
    """
    grid, room = past.own.shape[1:]
    if past.steps is not None and past.used + grid > room:
        if not past.own.is_cuda and past.used:  # counting makes a GPU wait
            past = compact(past)
        past = roomier(past, past.used + GROWTH * grid - past.own.shape[2])
    slots = torch.arange(grid, device=past.own.device)  # (K,)
    # A finished utterance is still computed until the next check: all goes to its last places.
    first = past.filled.clamp(max=past.own.shape[2] - grid)  # (B,)
    place = first.unsqueeze(1) + slots  # (B, K)
    seen = torch.ones_like(place, dtype=torch.bool) if visible is None else visible  # (B, K)
    own = past.own.scatter(2, place.unsqueeze(2), seen.unsqueeze(2))  # (B, K, P)
    past = past._replace(own=own, length=past.length + 1, filled=past.filled + grid)
    return (past if past.steps is None else past._replace(steps=past.steps + 1, used=past.used + grid)), place


def mask_of(seen: Tensor, like: Tensor) -> Tensor:
    """What attention adds to its energies: 0 where it may look, -inf elsewhere; `like` has the type.

    Attention takes booleans as well, and makes this of them in each layer.
    """
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, -float("inf"))


def self_attention(attention: Any, x: Tensor, past: Past, layer: int, place: Tensor, mask: Tensor) -> Tensor:
    """Attend from x (B, K, U) to each hypothesis's past and itself; keys and values are added to the past in place.

    Args:
        attention: of the layer.
        x, past: of the hypotheses.
        layer: its number.
        place: (B, K) of the token.
        mask: (B, 1, K, n) of the places that are in use, from `mask_of`.
    """
    at = place[:, None, :, None].expand(-1, attention.h, -1, attention.d_k)  # (B, G, K, D)
    for cache, project in ((past.keys, attention.linear_k), (past.values, attention.linear_v)):
        cache[:, layer].scatter_(2, at, _heads(attention, project(x)))
    until = mask.shape[3]
    return _attend(attention, x, past.keys[:, layer, :, :until], past.values[:, layer, :, :until], mask)


def _heads(attention: Any, x: Tensor) -> Tensor:
    """(B, n, U) -> (B, G, n, D)."""
    return x.view(*x.shape[:2], attention.h, attention.d_k).transpose(1, 2)


def _attend(attention: Any, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Scaled dot-product attention from x (B, K, U) to keys and values (B, G, n, D), mask (B, 1, K or 1, n) added."""
    query = _heads(attention, attention.linear_q(x))  # (B, G, K, D)
    seen = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)  # (B, G, K, D)
    return attention.linear_out(seen.transpose(1, 2).flatten(2))  # (B, K, U)


def is_plain(attention: Any) -> bool:
    """Whether an attention is ESPnet's ordinary one, which the functions above compute."""
    kind = name("espnet.nets.pytorch_backend.transformer.attention:MultiHeadedAttention")
    norms = [getattr(attention, side, None) for side in ("q_norm", "k_norm")]
    return type(attention) is kind and all(norm is None or isinstance(norm, torch.nn.Identity) for norm in norms)


def can_place(positions: Any) -> bool:
    """Whether `placed` knows this positional encoding: absolute, scaled, or none."""
    plain, scaled = (
        name(f"espnet.nets.pytorch_backend.transformer.embedding:{kind}")
        for kind in ("PositionalEncoding", "ScaledPositionalEncoding")
    )
    return type(positions) in (plain, scaled) or (isinstance(positions, torch.nn.Sequential) and not len(positions))


def placed(positions: Any, x: Tensor, past: Past) -> Tensor:
    """Embedded tokens x (B, K, U) with the encoding of each utterance's position `past.length`."""
    if isinstance(positions, torch.nn.Sequential):
        return x
    longest = past.own.shape[2] // past.own.shape[1] if past.steps is None else past.steps
    positions.extend_pe(x.new_zeros(1, longest + 1))
    table = positions.pe[0]  # (positions, U)
    encoding = table[past.length.clamp(max=len(table) - 1)].unsqueeze(1)  # (B, 1, U)
    alpha = getattr(positions, "alpha", None)
    return x * positions.xscale + encoding if alpha is None else x + alpha * encoding


class DecoderMemory(NamedTuple):
    """A transformer decoder's memory of the audio."""

    keys: Tensor  # (B, J, G, S, D)
    values: Tensor  # (B, J, G, S, D)
    mask: Tensor  # (B, 1, 1, S) 0 up to the end, -inf behind it


class TransformerScorer:
    """ESPnet2's transformer decoder, with caches of both attentions."""

    reorder = staticmethod(move)
    keep = staticmethod(keep)
    put = staticmethod(put)

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder

    @staticmethod
    def fits(decoder: Any) -> bool:
        """Whether this is such a decoder, of the usual form."""
        if type(decoder) is not name("espnet2.asr.decoder.transformer_decoder:TransformerDecoder"):
            return False
        usual = all(
            is_plain(layer.self_attn)
            and is_plain(layer.src_attn)
            and not layer.concat_after
            and getattr(layer, "sequential_attn", None) is None
            for layer in decoder.decoders
        )
        embeds = len(decoder.embed) == 2 and isinstance(decoder.embed[0], torch.nn.Embedding)
        return usual and embeds and can_place(decoder.embed[1]) and decoder.output_layer is not None

    def remember(self, hs: Tensor, hlens: Tensor) -> DecoderMemory:
        """Encoder output (B, S, U) with lengths (B,) -> memory."""
        attentions = [layer.src_attn for layer in self.decoder.decoders]
        keys = torch.stack([_heads(a, a.linear_k(hs)) for a in attentions], 1)  # (B, J, G, S, D)
        values = torch.stack([_heads(a, a.linear_v(hs)) for a in attentions], 1)  # (B, J, G, S, D)
        seen = torch.arange(hs.shape[1], device=hs.device) < hlens.unsqueeze(1)  # (B, S)
        return DecoderMemory(keys, values, mask_of(seen[:, None, None], hs))

    def start(self, memory: DecoderMemory, hypotheses: int) -> Past:
        """Empty prefixes."""
        return empty_past(len(memory.keys), hypotheses, self.decoder.decoders, memory.keys)

    def step(self, tokens: Tensor, state: Past, memory: DecoderMemory) -> tuple[Tensor, Past]:
        """Log probabilities (B, K, V) after `tokens` (B, K), and the state after these."""
        decoder = self.decoder
        x = placed(decoder.embed[1], decoder.embed[0](tokens), state)  # (B, K, U)
        past, place = next_place(state)
        mask = mask_of(past.own[:, None, :, : past.used], x)  # (B, 1, K, n)
        for j, layer in enumerate(decoder.decoders):
            before = layer.normalize_before
            y = layer.norm1(x) if before else x  # (B, K, U)
            x = x + self_attention(layer.self_attn, y, past, j, place, mask)
            x = x if before else layer.norm1(x)
            y = layer.norm2(x) if before else x
            x = x + _attend(layer.src_attn, y, memory.keys[:, j], memory.values[:, j], memory.mask)
            x = x if before else layer.norm2(x)
            y = layer.norm3(x) if before else x
            x = x + layer.feed_forward(y)
            x = x if before else layer.norm3(x)
        x = decoder.after_norm(x) if decoder.normalize_before else x
        return decoder.output_layer(x).log_softmax(2), past


class TransformerLmScorer:
    """ESPnet2's transformer language model, with a cache of the prefixes."""

    reorder = staticmethod(move)
    keep = staticmethod(keep)
    put = staticmethod(put)

    def __init__(self, lm: Any) -> None:
        self.lm = lm

    @staticmethod
    def fits(lm: Any) -> bool:
        """Whether this is such a language model, of the usual form."""
        if type(lm) is not name("espnet2.lm.transformer_lm:TransformerLM"):
            return False
        usual = all(is_plain(layer.self_attn) and not layer.concat_after for layer in lm.encoder.encoders)
        return usual and isinstance(lm.encoder.embed, torch.nn.Sequential) and can_place(lm.encoder.embed[-1])

    def remember(self, hs: Tensor, hlens: Tensor) -> Tensor:
        """Nothing of the audio but its number and device: (B, 0)."""
        return hs[:, 0, :0]

    def start(self, memory: Tensor, hypotheses: int) -> Past:
        """Empty prefixes."""
        return empty_past(len(memory), hypotheses, self.lm.encoder.encoders, memory)

    def step(self, tokens: Tensor, state: Past, memory: Tensor) -> tuple[Tensor, Past]:
        """Log probabilities (B, K, V) after `tokens` (B, K), and the state after these."""
        encoder = self.lm.encoder
        x = self.lm.embed(tokens)  # (B, K, embed)
        for module in encoder.embed[:-1]:
            x = module(x)  # (B, K, U)
        x = placed(encoder.embed[-1], x, state)  # (B, K, U)
        # ESPnet takes the blank in a prefix for padding.
        past, place = next_place(state, tokens != 0)
        mask = mask_of(past.own[:, None, :, : past.used], x)  # (B, 1, K, n)
        for j, layer in enumerate(encoder.encoders):
            before = layer.normalize_before
            x = x + self_attention(layer.self_attn, layer.norm1(x) if before else x, past, j, place, mask)  # (B, K, U)
            x = x if before else layer.norm1(x)
            x = x + layer.feed_forward(layer.norm2(x) if before else x)
            x = x if before else layer.norm2(x)
        x = encoder.after_norm(x) if encoder.normalize_before else x
        return self.lm.decoder(x).log_softmax(2), past
