"""The decoder's recurrence over a tree of prefixes as one differentiable function, its gradient written out.

    N  prefixes, over the batch   n  of these, as many as have one length   B  utterances   S  encoded frames
    H  hidden units   E  encoder size   A  attention units   W  taps of the location kernel
    R  prefixes of no token, whose states before <sos> stand first in the tables of states

A decoder step is two dozen small operations; autograd records each of them at every step, and its
bookkeeping, not the arithmetic, was most of the time of a small student on a CPU. Here the steps run
without it, and the gradients of the recurrent weights, of Wq and of the values, which do not depend on
the order of steps, are one matrix product over all of them each instead of many small ones. Prefixes of
one length make a step; each continues from its parent's state, and several may have the same parent.
Where none have (one hypothesis an utterance), rows are sorted so that a step reads slices and copies nothing.

With h the state, c the context, a the alignment of a prefix (Chorowski et al. 2015, eq. 5 to 9; the
GRU in PyTorch's form):

    r, z = sigmoid((x + Wc c)_rz + (Wh h + b)_rz)          n = tanh((x + Wc c)_n + r (Wh h + b)_n)
    h'   = n + z (h - n)                                   u = tanh(key + Wq h' + Wl * a)
    a'   = softmax_s(v . u)                                c' = sum_s a'_s value_s

u is kept as g = sigmoid(2 (key + Wq h' + Wl * a)): u = 2 g - 1, v . u and 2 v . g differ by what a softmax does not
see, and torch's sigmoid is several times as fast as its tanh on some processors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class AttentionGRU(torch.autograd.Function):
    """A one-layer GRU with location-aware attention after every prefix: (N, H + E), state and context concatenated.

    Inputs, in this order:
        x: (N, 3H) what the tokens add to the gates, bias included.
        parent, owner, sizes: (N,), (N,), numbers; see kdasr.networks.prefixes. Without parent (None), prefix i of a
            length continues prefix i of the length before, and is of utterance i.
        keys, values, pad: (B, S, A), (B, S, E), (B, S); pad is True behind an utterance's end.
        context_weight: (3H, E) Wc.      hidden_weight, hidden_bias: (3H, H) Wh, (3H,) b.
        query_weight: (A, H) Wq.         location_weight: (A, W) Wl.      energy_weight: (1, A) v.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(
        ctx: Any,
        x: Tensor,
        parent: Tensor | None,
        owner: Tensor,
        sizes: tuple[int, ...],
        keys: Tensor,
        values: Tensor,
        pad: Tensor,
        context_weight: Tensor,
        hidden_weight: Tensor,
        hidden_bias: Tensor,
        query_weight: Tensor,
        location_weight: Tensor,
        energy_weight: Tensor,
    ) -> Tensor:
        """State and context after every prefix: (N, H + E)."""
        nodes, frames, units = len(x), keys.size(1), keys.size(2)
        width, hidden, taps = values.size(2), hidden_weight.size(1), location_weight.size(1)
        half, links = taps // 2, Links(parent, owner, sizes)
        roots, per_frame = sizes[0], [size * frames for size in sizes]
        # What the backward pass reads. The first R rows are the states before <sos>, row R + i that after prefix i.
        h = x.new_zeros(roots + nodes, hidden)  # (R + N, H)
        c = x.new_zeros(roots + nodes, 1, width)  # (R + N, 1, E)
        a = x.new_zeros(roots + nodes, frames + 2 * half)  # (R + N, S + W - 1) zero at both ends
        around = a.as_strided((roots + nodes, frames, taps), (frames + 2 * half, 1, 1))  # (R + N, S, W)
        align = x.new_empty(nodes, 1, frames)  # (N, 1, S)
        g = x.new_empty(nodes, frames, units)  # (N, S, A)
        near = x.new_empty(nodes, frames, taps)  # (N, S, W) what the location kernel reads
        gates = x.new_empty(nodes, 2 * hidden)  # (N, 2H) r, z
        inner, new = x.new_empty(2, nodes, hidden)  # (N, H) each: (Wh h + b)_n, n
        context_rz, context_n = context_weight.t().split((2 * hidden, hidden), 1)  # (E, .)
        hidden_rz, hidden_n = hidden_weight.t().split((2 * hidden, hidden), 1)  # (H, .)
        bias_rz, bias_n = hidden_bias.split((2 * hidden, hidden))  # (.,)
        x_rz, x_n = x.split((2 * hidden, hidden), 1)  # (N, .)
        twice_keys, twice_query, twice_location = 2 * keys, 2 * query_weight.t(), 2 * location_weight.t()
        twice_energy = 2 * energy_weight[0]  # (A,)
        outside = torch.zeros_like(pad, dtype=x.dtype).masked_fill_(pad, float("-inf"))  # (B, S)
        above_h, above_c, above_a = (links.parents(table) for table in (h, c, around))
        own_keys, own_values, own_outside = (links.owners(table) for table in (twice_keys, values, outside))
        steps = zip(
            *(part.split(sizes) for part in (x_rz + bias_rz, x_n, gates, gates[:, :hidden], gates[:, hidden:])),
            *(part.split(sizes) for part in (inner, new, g, near, align)),
            *(table[roots:].split(sizes) for table in (h, c, a[:, None, half : half + frames])),
            g.view(-1, units).split(per_frame),
            near.view(-1, taps).split(per_frame),
            strict=True,
        )
        for t, (in_rz, in_n, rz, r, z, inside, n, mixed, window, here, *after, flat, flat_window) in enumerate(steps):
            state, seen, looked = after  # (n, H), (n, 1, E), (n, 1, S)
            before, context = above_h.read(t), above_c.read(t).squeeze(1)  # (n, H), (n, E)
            torch.addmm(in_rz, context, context_rz, out=rz)
            rz.addmm_(before, hidden_rz).sigmoid_()
            torch.addmm(bias_n, before, hidden_n, out=inside)
            torch.addmm(in_n, context, context_n, out=n)
            n.addcmul_(r, inside).tanh_()
            torch.lerp(n, before, z, out=state)
            torch.add(own_keys.read(t), (state @ twice_query).unsqueeze(1), out=mixed)
            window.copy_(above_a.read(t))
            flat.addmm_(flat_window, twice_location).sigmoid_()
            energy = torch.addmv(own_outside.read(t).view(-1), flat, twice_energy)  # (n S,)
            torch.softmax(energy.view(here.shape), 2, out=here)
            looked.copy_(here)
            torch.bmm(here, own_values.read(t), out=seen)
        weights = (context_weight, hidden_weight, query_weight, location_weight, energy_weight)
        ctx.save_for_backward(parent, owner, values, *weights, h, c, align, gates, inner, new, g, near)
        ctx.sizes = sizes
        return torch.cat([h[roots:], c[roots:, 0]], 1)  # (N, H + E)

    @staticmethod
    @torch.autograd.function.once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs, in their order (None for parent, owner, sizes and pad)."""
        parent, owner, values, wc, wh, wq, wl, v, h, c, align, gates, inner, n, g, near = ctx.saved_tensors
        nodes, frames, units = g.shape
        batch, hidden, width, taps = len(values), h.size(1), c.size(2), wl.size(1)
        sizes, half, links = ctx.sizes, taps // 2, Links(parent, owner, ctx.sizes)
        roots, per_frame = sizes[0], [size * frames for size in sizes]
        h_above, c_above = (links.parents(table).all() for table in (h, c.squeeze(1)))  # (N, H), (N, E)
        # what the gradient of h' is multiplied by for those of sums inside the GRU: of n, r, z, and of (Wh h + b)_n
        r, z = gates.split(hidden, 1)  # (N, H) each
        to_n = (1 - z) * (1 - n * n)
        to_r, to_z = to_n * inner * r * (1 - r), (h_above - n) * z * (1 - z)
        factors = torch.stack([to_n, to_r, to_z, to_n * r], 1)  # (N, 4, H)
        d_gates = torch.empty_like(factors)  # (N, 4, H)
        d_query = grad.new_empty(nodes, units)  # (N, A)
        d_energy = grad.new_empty(nodes, 1, frames)  # (N, 1, S)
        # gradients from children to their parents; contexts and states are also used directly
        d_h, d_c = (F.pad(part, (0, 0, roots, 0)) for part in grad.split([hidden, width], 1))  # (R + N, H), (R + N, E)
        d_a = grad.new_zeros(roots + nodes, frames)  # (R + N, S)
        d_keys = grad.new_zeros(batch, frames, units)  # (B, S, A)
        d_location = grad.new_zeros(wl.shape)  # (A, W)
        # buffers of one step, reused by the next: memory beyond the cache would cost more than the arithmetic
        most = max(sizes)
        buffer = grad.new_empty(most, frames, units)  # (n, S, A)
        product = grad.new_empty(most, frames, taps)  # (n, S, W)
        spread = grad.new_zeros(most, frames + 2 * half, taps)  # (n, S + W - 1, W) zero at both ends
        middle = spread[:, half : half + frames]  # (n, S, W)
        diagonals = spread.as_strided((most, frames, taps), (spread.stride(0), taps, taps + 1))  # (n, S, W)
        reverse = wl.flip(1)  # (A, W)
        slope = 4 * v[0]  # (A,) of v . u, by 2 (key + Wq h' + Wl * a), without g (1 - g), and twice
        input_weight = torch.cat([wc[2 * hidden :], wc[: 2 * hidden]])  # (3H, E) in the order of the factors
        d_sums = d_gates.view(nodes, -1)  # (N, 4H)
        d_above_h, d_above_c, d_above_a = (links.parents(table) for table in (d_h, d_c, d_a))
        own_values, d_own_keys = links.owners(values), links.owners(d_keys)
        parts = (align, d_energy, d_energy.transpose(1, 2), g, d_query, factors, d_gates, z)
        steps = zip(
            *(part.split(sizes) for part in (*parts, d_sums[:, hidden:], d_sums[:, : 3 * hidden])),
            near.view(-1, taps).split(per_frame),
            d_h[roots:].split(sizes),
            d_c[roots:, None].split(sizes),
            d_a[roots:, None].split(sizes),
            strict=True,
        )
        size = 0
        for t, step in reversed(list(enumerate(steps))):
            weight, d_e, d_e_column, mixed, d_q, factor, d_gate = step[:7]
            carry, d_state, d_input, window, d_own, d_seen, d_on = step[7:]
            if len(weight) != size:
                size = len(weight)
                d_mixed, d_flat = buffer[:size], buffer[:size].view(-1, units)  # (n, S, A), (n S, A)
                d_across, d_window, d_middle, d_align = d_flat.t(), product[:size], middle[:size], diagonals[:size]
                d_flat_window = d_window.view(-1, taps)  # (n S, W)
            # c' = a' values, then the softmax
            p = torch.baddbmm(d_on, d_seen, own_values.read(t).transpose(1, 2)).mul_(weight)  # (n, 1, S)
            torch.addcmul(p, weight, p.sum(2, keepdim=True), value=-1, out=d_e)
            # v . u
            torch.mul(d_e_column, slope, out=d_mixed)
            torch.ops.aten.sigmoid_backward.grad_input(d_mixed, mixed, grad_input=d_mixed)
            torch.sum(d_mixed, 1, out=d_q)
            d_own_keys.add(t, d_mixed)
            # the location convolution: frame s depends on a at s - W/2 ... s + W/2
            d_location.addmm_(d_across, window)
            torch.mm(d_flat, reverse, out=d_flat_window)
            d_middle.copy_(d_window)
            d_above_a.add(t, d_align.sum(2))
            # h' = n + z (h - n)
            d_after = torch.addmm(d_own, d_q, wq)  # (n, H)
            torch.mul(d_after.unsqueeze(1), factor, out=d_gate)
            d_above_h.add(t, torch.addmm(d_after.mul_(carry), d_state, wh))
            d_above_c.add(t, torch.mm(d_input, input_weight))
        d_n, d_r, d_z, _ = d_gates.unbind(1)  # (N, H) each
        d_input = torch.cat([d_r, d_z, d_n], 1)  # (N, 3H) of x + Wc c
        d_state = d_sums[:, hidden:]  # (N, 3H) of Wh h + b
        return (
            d_input,
            None,
            None,
            None,
            d_keys,
            by_owner(align.squeeze(1), d_c[roots:], owner, batch),
            None,
            d_input.t() @ c_above,
            d_state.t() @ h_above,
            d_state.sum(0),
            d_query.t() @ h[roots:],
            d_location,
            2 * (d_energy.view(-1) @ g.view(-1, units))[None],
        )


class Rows(NamedTuple):
    """The rows of a table that belong to the prefixes of each step: those of their parents, or of their utterances."""

    table: Tensor
    parts: Sequence[Tensor]  # of each step, made before the steps, for a slice takes as long as a small product
    index: Sequence[Tensor]  # of each step, where they do not follow each other; some may be the same

    def read(self, t: int) -> Tensor:
        """The rows of step t."""
        return self.parts[t] if self.parts else self.table.index_select(0, self.index[t])

    def add(self, t: int, values: Tensor) -> None:
        """Add to the rows of step t."""
        if self.parts:
            self.parts[t].add_(values)
        else:
            self.table.index_add_(0, self.index[t], values)

    def all(self) -> Tensor:
        """The rows of all steps, one after the other: (N, .)."""
        return torch.cat(self.parts) if self.parts else self.table[torch.cat(self.index)]


class Links(NamedTuple):
    """What AttentionGRU is told of prefixes."""

    parent: Tensor | None
    owner: Tensor
    sizes: tuple[int, ...]

    def parents(self, table: Tensor) -> Rows:
        """The parents' rows of a table (R + N, .); a prefix of no token has any of the first R."""
        roots = self.sizes[0]
        if self.parent is not None:
            return Rows(table, [], (self.parent + roots).split(self.sizes))  # R - 1 for a parent of -1
        before = (roots, *self.sizes)
        each = zip(table.split(before), before, self.sizes, strict=False)
        return Rows(table, [part if size == most else part[:size] for part, most, size in each], [])

    def owners(self, table: Tensor) -> Rows:
        """The utterances' rows of a table (B, .)."""
        if self.parent is not None:
            return Rows(table, [], self.owner.split(self.sizes))
        first = {size: table[:size] for size in set(self.sizes)}
        return Rows(table, [first[size] for size in self.sizes], [])


def spans(sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """The first prefix of each length, and the one behind its last."""
    end = 0
    for size in sizes:
        start, end = end, end + size
        yield start, end


def by_owner(first: Tensor, second: Tensor, owner: Tensor, batch: int) -> Tensor:
    """Outer products (N, S) x (N, E), summed over the prefixes of each utterance: (B, S, E)."""
    order = owner.argsort(stable=True)  # (N,)
    counts = torch.bincount(owner, minlength=batch).tolist()  # B
    pairs = zip(first[order].split(counts), second[order].split(counts), strict=True)
    return torch.stack([one.t() @ other for one, other in pairs])
