"""ESPnet's RNN attention decoder as a scorer of a grid.

| axis | meaning |
|---|---|
| B | utterances |
| K | hypotheses an utterance |
| R | of these, the most in an utterance that have different parents (on a GPU: K) |
| S | encoder frames, padded |
| E | encoder output |
| G | attention heads |
| A | attention, of a head |
| C | channels of location attention's convolution |
| H | decoder units |
| J | decoder layers |
| V | tokens |

What an RNN decoder attends to depends on the hypothesis without its last token, so that children of one
parent attend alike. The state remembers the parent of each hypothesis, and on a CPU the attention, nearly all of a
step's work, is computed once for each family (on a GPU not, as reading their number would make it wait).

Additive attention's tanh is taken as tanh(x) = 2 sigmoid(2 x) - 1, whose constants go into the weights and out of the
softmax: torch's sigmoid is six times as fast as its tanh on an AMD EPYC, and no slower elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdasr.espnet import name
from kdasr.search import tree

SHARPENING = 2.0  # most of ESPnet's RNN attentions multiply the energies by this before the softmax
TILE = 16  # frames whose location features are one row of a matrix product: 6 to 10 times faster than a convolution
BLOCK = 600_000  # floats of a buffer of S x A rows that stays in a CPU's cache


@dataclass(frozen=True)
class Head:
    """An attention head: energies of frames, from a query, keys and, for location attention, the step before."""

    query: torch.nn.Linear  # H -> A
    keys: torch.nn.Linear  # E -> A
    values: torch.nn.Linear | None  # E -> A; None: the encoder output itself
    energy: Tensor | None  # (A,) of additive attention; None: the scalar product of query and keys
    sharpening: float
    tiles: Tensor | None = None  # (TILE + 2 reach, TILE * (C + 1)) the convolution, see tiles_of
    mix: Tensor | None = None  # (C, A) from its channels


class RnnMemory(NamedTuple):
    """An RNN decoder's view of a batch of utterances."""

    hs: Tensor  # (B, S, E)
    keys: tuple[Tensor, ...]  # G times (B, S, A), projected once, and doubled or tanh taken; none for noatt
    values: tuple[Tensor, ...]  # G times (B, S, A) for multi-head attention, else none
    lengths: Tensor  # (B,) frames
    padding: Tensor  # (B, S) true behind the end
    uniform: Tensor  # (B, S) 1 / length, 0 in padding


class RnnState(NamedTuple):
    """An RNN decoder's hypotheses."""

    hidden: Tensor  # (B, K, J, H)
    cell: Tensor  # (B, K, J, H); (B, K, 0, H) for GRU
    attended: Tensor  # (B, K, G, S) attention weights of the step before
    parent: Tensor  # (B, K) int64: numbers its parent; the states of children of one parent are equal


class Families(NamedTuple):
    """The hypotheses that have the same parent."""

    first: Tensor  # (B, R) a child of each
    of: Tensor  # (B, K) number of each hypothesis' family
    counts: list[int]  # B numbers of families


class RnnDecoderScorer:
    """ESPnet2's RNNDecoder over a grid: LSTM or GRU, and any attention without a longer history.

    Attentions: `location`, `add`, `dot`, `noatt`, `multi_head_add`, `multi_head_dot`, `multi_head_loc`,
    `multi_head_multi_res_loc`.
    """

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.heads = [_doubled(head) for head in heads_of(decoder.att_list[0])]
        self.merge = getattr(decoder.att_list[0], "mlp_o", None)  # G * A -> E
        cell = decoder.decoder[0]
        embed = decoder.embed.weight.detach()  # (V, H)
        both = cell.weight_ih.detach().split((embed.shape[1], cell.weight_ih.shape[1] - embed.shape[1]), 1)
        # What the first layer's gates (4 H, GRU: 3 H) get from each token, computed once.
        self.table = torch.nn.functional.linear(embed, both[0], cell.bias_ih.detach())  # (V, gates)
        self.from_context = both[1].t()  # (E, gates)

    @staticmethod
    def fits(decoder: Any) -> bool:
        """Whether this decoder is one of them."""
        if not isinstance(decoder, name("espnet2.asr.decoder.rnn_decoder:RNNDecoder")) or decoder.num_encs != 1:
            return False
        return type(decoder.att_list[0]).__name__ in ATTENTIONS

    def remember(self, hs: Tensor, hlens: Tensor) -> RnnMemory:
        """Encoder output (B, S, E) with lengths (B,) -> memory."""
        padding = torch.arange(hs.shape[1], device=hs.device) >= hlens.unsqueeze(1)  # (B, S)
        uniform = (~padding).to(hs.dtype) / hlens.to(hs.dtype).unsqueeze(1)  # (B, S)
        keys = [head.keys(hs) for head in self.heads]  # (B, S, A) each
        keys = [k.tanh() if head.energy is None else 2 * k for head, k in zip(self.heads, keys, strict=True)]
        values = [head.values(hs) for head in self.heads if head.values is not None]  # (B, S, A) each
        return RnnMemory(hs, tuple(keys), tuple(values), hlens, padding, uniform)

    def start(self, memory: RnnMemory, hypotheses: int) -> RnnState:
        """Zero states, and attention spread over all frames."""
        decoder, batch = self.decoder, memory.hs.shape[0]
        hidden = memory.hs.new_zeros(batch, hypotheses, decoder.dlayers, decoder.dunits)  # (B, K, J, H)
        cell = hidden if decoder.dtype == "lstm" else hidden[:, :, :0]  # (B, K, J or 0, H)
        attended = memory.uniform[:, None, None].repeat(1, hypotheses, max(1, len(self.heads)), 1)  # (B, K, G, S)
        return RnnState(hidden, cell, attended, torch.zeros(hidden.shape[:2], dtype=torch.int64, device=hidden.device))

    @staticmethod
    def centre(state: RnnState) -> Tensor:
        """The frame (B, K) that each hypothesis attended to most, over all heads, in the step before this state."""
        return state.attended.mean(2).argmax(2)

    @torch.no_grad()
    def step(self, tokens: Tensor, state: RnnState, memory: RnnMemory) -> tuple[Tensor, RnnState]:
        """Log probabilities (B, K, V) after `tokens` (B, K), and the state after these."""
        decoder, grid = self.decoder, tokens.shape
        families = None if tokens.is_cuda else families_of(state.parent)
        hidden, attended = state.hidden[:, :, 0], state.attended  # (B, K, H), (B, K, G, S)
        if families is not None:
            hidden, attended = tree.pick((hidden, attended), families.first)  # (B, R, H), (B, R, G, S)
        attended = self._attend(hidden, attended, memory, families)  # (B, R, G, S)
        context = self._context(attended, memory)  # (B, R, E)
        if families is None:
            x = torch.cat((decoder.embed(tokens), context), dim=2)  # (B, K, H + E)
            x, c = _cell(decoder.decoder[0], x, hidden, state.cell[:, :, :1])  # (B, K, H), (B, K, 1 or 0, H)
        else:
            x, c = self._first_cell(tokens, context, hidden, state, families)  # (B, K, H), (B, K, 1 or 0, H)
            attended, context = tree.pick((attended, context), families.of)  # (B, K, G, S), (B, K, E)
        after, cells = [x], [c]
        for layer, unit in enumerate(decoder.decoder[1:], 1):
            x, c = _cell(unit, x, state.hidden[:, :, layer], state.cell[:, :, layer : layer + 1])
            after.append(x)
            cells.append(c)
        if decoder.context_residual:
            x = torch.cat((x, context), dim=2)  # (B, K, H + E)
        logp = decoder.output(x).log_softmax(2)  # (B, K, V)
        parent = torch.arange(grid[1], device=tokens.device).repeat(grid[0], 1)  # (B, K)
        return logp, RnnState(torch.stack(after, 2), torch.cat(cells, 2), attended, parent)

    def _first_cell(
        self, tokens: Tensor, context: Tensor, hidden: Tensor, state: RnnState, families: Families
    ) -> tuple[Tensor, Tensor]:
        """The first layer's hidden states (B, K, H) and cells (B, K, 1 or 0, H), in torch's own formulas.

        Args:
            tokens: (B, K).
            context, hidden: (B, R, E), (B, R, H) of the families.
            state: of the hypotheses.
            families: which hypotheses are in which.
        """
        cell = self.decoder.decoder[0]
        inside = context @ self.from_context  # (B, R, gates)
        past = torch.nn.functional.linear(hidden, cell.weight_hh, cell.bias_hh)  # (B, R, gates)
        if self.decoder.dtype == "lstm":
            gates = tree.pick(inside + past, families.of) + self.table[tokens]  # (B, K, 4 H)
            i, f, g, o = gates.chunk(4, 2)  # (B, K, H)
            c = f.sigmoid() * state.cell[:, :, 0] + i.sigmoid() * g.tanh()  # (B, K, H)
            return o.sigmoid() * c.tanh(), c.unsqueeze(2)
        inside, past = tree.pick((inside, past), families.of)  # (B, K, 3 H)
        r, z, n = (inside + self.table[tokens]).chunk(3, 2)  # (B, K, H)
        r2, z2, n2 = past.chunk(3, 2)  # (B, K, H)
        n = (n + (r + r2).sigmoid() * n2).tanh()  # (B, K, H)
        return n + (z + z2).sigmoid() * (state.hidden[:, :, 0] - n), state.cell[:, :, :1]

    def _attend(self, hidden: Tensor, attended: Tensor, memory: RnnMemory, families: Families | None) -> Tensor:
        """Attention weights (B, R, G, S) from the first layer's states (B, R, H) and the weights before."""
        if not self.heads:
            return attended
        weights = []
        for g, (head, keys) in enumerate(zip(self.heads, memory.keys, strict=True)):
            query = head.query(hidden)  # (B, R, A)
            if head.energy is None:
                energy = query.tanh() @ keys.transpose(1, 2)  # (B, R, S)
            else:
                energy = _additive(head, 2 * query, keys, memory.lengths, attended[:, :, g], families)
            energy = energy.masked_fill(memory.padding.unsqueeze(1), -float("inf"))  # (B, R, S)
            weights.append((head.sharpening * energy).softmax(2))
        return torch.stack(weights, 2)

    def _context(self, attended: Tensor, memory: RnnMemory) -> Tensor:
        """What is attended to (B, R, E), by weights (B, R, G, S)."""
        if self.merge is None:
            return attended[:, :, 0] @ memory.hs
        seen = [attended[:, :, g] @ values for g, values in enumerate(memory.values)]  # (B, R, A) each
        return self.merge(torch.cat(seen, 2))


def families_of(parent: Tensor) -> Families:
    """The hypotheses (B, K) of each utterance that have the same parent."""
    there = torch.zeros_like(parent).scatter_(1, parent, 1)  # (B, K) by parent
    of = (there.cumsum(1) - 1).gather(1, parent)  # (B, K)
    counts = there.sum(1).tolist()
    each = torch.arange(parent.shape[1], device=parent.device).expand_as(parent)  # (B, K)
    first = torch.zeros_like(parent).scatter_(1, of, each)[:, : max(counts)]  # (B, R)
    return Families(first, of, counts)


def _cell(unit: torch.nn.RNNCellBase, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """A layer's hidden states (B, K, H) and cells (B, K, 1 or 0, H) from input (B, K, .) and those before."""
    flat, before = x.flatten(0, 1), hidden.flatten(0, 1)  # (B * K, .), (B * K, H)
    if cell.shape[2]:
        after, cells = unit(flat, (before, cell.flatten(0, 2)))  # (B * K, H) both
        return after.view(hidden.shape), cells.view(cell.shape)
    return unit(flat, before).view(hidden.shape), cell


def _additive(
    head: Head, query: Tensor, keys: Tensor, lengths: Tensor, attended: Tensor, families: Families | None
) -> Tensor:
    """Energies (B, R, S) up to a constant: energy . tanh(keys + query + location features); 0 for other families.

    Args:
        head: of additive or location attention, doubled.
        query: (B, R, A), doubled.
        keys: (B, S, A), doubled.
        lengths: (B,) frames of the utterances.
        attended: (B, R, S) weights of the step before.
        families: how many of the R of each utterance count; None for all.

    The (B, R, S, A) elements in the middle are most of a step's work. On a CPU they never exist at once, but block
    by block in one buffer that stays in the cache, and for each utterance's own frames alone; and the query joins the
    location features in one product, as the weight of a channel that is always 1.
    """
    batch, rows, size = query.shape
    frames = keys.shape[1]
    seen = mix = None
    if head.tiles is not None and head.mix is not None:
        seen = _located(head.tiles, attended.flatten(0, 1)).unflatten(0, (batch, rows))  # (B, R, S, C + 1)
        seen[..., -1] = 1.0
        mix = torch.cat((head.mix.expand(batch, rows, -1, -1), query.unsqueeze(2)), 2)  # (B, R, C + 1, A)
    if families is None:
        if seen is not None and mix is not None:
            mixed = torch.matmul(seen, mix)  # (B, R, S, A)
            mixed += keys.unsqueeze(1)
        else:
            mixed = keys.unsqueeze(1) + query.unsqueeze(2)  # (B, R, S, A)
        return mixed.sigmoid_() @ head.energy
    energy = query.new_zeros(batch, rows, frames)  # (B, R, S)
    buffer = query.new_empty(max(BLOCK, frames * size))
    for b, (count, length) in enumerate(zip(families.counts, lengths.tolist(), strict=True)):
        at_once = max(1, BLOCK // (length * size))
        for first in range(0, count, at_once):
            here = slice(first, min(first + at_once, count))  # R' of the R
            shape = (here.stop - first, length, size)
            mixed = buffer[: shape[0] * length * size].view(shape)  # (R', S', A)
            if seen is not None and mix is not None:
                torch.bmm(seen[b, here, :length], mix[b, here], out=mixed)
                mixed += keys[b, :length]
            else:
                torch.add(keys[b, :length], query[b, here].unsqueeze(1), out=mixed)
            energy[b, here, :length] = torch.mv(mixed.sigmoid_().view(-1, size), head.energy).view(shape[:2])
    return energy


def _located(tiles: Tensor, attended: Tensor) -> Tensor:
    """Location features (N, S, C + 1) of attention weights (N, S); those of the last channel are to be filled in."""
    count, frames = attended.shape
    reach = (len(tiles) - TILE) // 2
    tiled = -(-frames // TILE)
    padded = torch.nn.functional.pad(attended, (reach, reach + tiled * TILE - frames))  # (N, reach + T' + reach)
    windows = padded.unfold(1, len(tiles), TILE).reshape(count * tiled, -1)  # (N * tiles, TILE + 2 reach)
    return (windows @ tiles).view(count, tiled * TILE, -1)[:, :frames]


def tiles_of(kernel: Tensor) -> Tensor:
    """A convolution's kernel (C, 2 reach + 1) as a matrix (TILE + 2 reach, TILE * (C + 1)), the last channel zero.

    A row of TILE + 2 reach input frames times this matrix are the TILE output frames in its middle.
    """
    channels, width = kernel.shape
    matrix = kernel.new_zeros(TILE + width - 1, TILE, channels + 1)
    for frame in range(TILE):
        matrix[frame : frame + width, frame, :channels] = kernel.t()
    return matrix.view(len(matrix), -1)


def heads_of(attention: Any) -> list[Head]:
    """The heads of one of ESPnet's attention modules (those named in ATTENTIONS); none for NoAtt."""
    return ATTENTIONS[type(attention).__name__](attention)


def _doubled(head: Head) -> Head:
    """A head for the sigmoid: 2 sigmoid(2 x) for tanh(x)."""
    if head.energy is None:
        return head
    return replace(head, energy=2 * head.energy, mix=None if head.mix is None else 2 * head.mix)


def _single(attention: Any) -> list[Head]:
    energy = attention.gvec.weight[0].detach() if hasattr(attention, "gvec") else None  # (A,)
    location = _location(attention.loc_conv, attention.mlp_att) if hasattr(attention, "loc_conv") else (None, None)
    return [Head(attention.mlp_dec, attention.mlp_enc, None, energy, SHARPENING, *location)]


def _several(attention: Any, sharpening: float) -> list[Head]:
    heads = []
    for g in range(attention.aheads):
        energy = attention.gvec[g].weight[0].detach() if hasattr(attention, "gvec") else None  # (A,)
        location = (None, None)
        if hasattr(attention, "loc_conv"):
            location = _location(attention.loc_conv[g], attention.mlp_att[g])
        projections = (attention.mlp_q[g], attention.mlp_k[g], attention.mlp_v[g])
        heads.append(Head(*projections, energy, sharpening, *location))
    return heads


def _location(conv: torch.nn.Conv2d, mix: torch.nn.Linear) -> tuple[Tensor, Tensor]:
    return tiles_of(conv.weight.detach()[:, 0, 0]), mix.weight.detach().t()  # (C, A)


# Only attentions that need no more than the weights of the step before; one_by_one.py runs the others.
ATTENTIONS = {
    "NoAtt": lambda attention: [],
    "AttDot": _single,
    "AttAdd": _single,
    "AttLoc": _single,
    "AttMultiHeadDot": lambda attention: _several(attention, attention.scaling),
    "AttMultiHeadAdd": lambda attention: _several(attention, attention.scaling),
    "AttMultiHeadLoc": lambda attention: _several(attention, SHARPENING),
    "AttMultiHeadMultiResLoc": lambda attention: _several(attention, attention.scaling),
}
