"""The decoder's recurrence over a tree of prefixes as one differentiable function, its gradient written out.

    N  prefixes, over the batch   n  of these, as many as have one length   B  utterances   S  encoded frames
    H  hidden units   E  encoder size   A  attention units   W  taps of the location kernel

A decoder step is two dozen small operations; autograd records each of them at every step, and its
bookkeeping, not the arithmetic, was most of the time of a small student on a CPU. Here the steps run
without it, and the gradients of the recurrent weights, of Wq and of the values, which do not depend on
the order of steps, are one matrix product over all of them each instead of many small ones. Prefixes of
one length make a step; each continues from its parent's state, and several may have the same parent.

With h the state, c the context, a the alignment of a prefix (Chorowski et al. 2015, eq. 5 to 9; the
GRU in PyTorch's form):

    r, z = sigmoid((x + Wc c)_rz + (Wh h + b)_rz)          n = tanh((x + Wc c)_n + r (Wh h + b)_n)
    h'   = n + z (h - n)                                   u = tanh(key + Wq h' + Wl * a)
    a'   = softmax_s(v . u)                                c' = sum_s a'_s value_s
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class AttentionGRU(torch.autograd.Function):
    """A one-layer GRU with location-aware attention after every prefix: (N, H + E), state and context concatenated.

    Inputs, in this order:
        x: (N, 3H) what the tokens add to the gates, bias included.
        parent, owner, sizes: (N,), (N,), numbers; see kdasr.networks.prefixes.
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
        parent: Tensor,
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
        rz = 2 * hidden
        # what the backward pass reads; row 0 is the state before <sos>, row i + 1 that after prefix i
        h = x.new_zeros(nodes + 1, hidden)  # (N + 1, H)
        c = x.new_zeros(nodes + 1, width)  # (N + 1, E)
        a = x.new_zeros(nodes + 1, frames)  # (N + 1, S)
        u = x.new_empty(nodes, frames, units)  # (N, S, A)
        gates = x.new_empty(nodes, 3 * hidden)  # (N, 3H) r, z, n
        inner = x.new_empty(nodes, hidden)  # (N, H) (Wh h + b)_n
        energy_vector = energy_weight[0]  # (A,)
        for start, end in spans(sizes):
            above, whose = parent[start:end] + 1, owner[start:end]  # (n,), (n,)
            before = h[above]  # (n, H)
            from_input = torch.addmm(x[start:end], c[above], context_weight.t())  # (n, 3H)
            from_state = torch.addmm(hidden_bias, before, hidden_weight.t())  # (n, 3H)
            gate, mixed, after = gates[start:end], u[start:end], slice(start + 1, end + 1)
            torch.sigmoid(from_input[:, :rz] + from_state[:, :rz], out=gate[:, :rz])
            inner[start:end] = from_state[:, rz:]
            r, z, n = gate.split(hidden, 1)  # (n, H) each
            torch.tanh(torch.addcmul(from_input[:, rz:], r, from_state[:, rz:]), out=n)
            torch.lerp(n, before, z, out=h[after])
            query = (h[after] @ query_weight.t()).unsqueeze(1)  # (n, 1, A)
            torch.add(keys[whose], query, out=mixed)
            mixed.view(-1, units).addmm_(windows(a[above], taps), location_weight.t()).tanh_()
            energy = (mixed @ energy_vector).masked_fill_(pad[whose], float("-inf"))  # (n, S)
            torch.softmax(energy, 1, out=a[after])
            torch.bmm(a[after].unsqueeze(1), values[whose], out=c[after].unsqueeze(1))
        weights = (context_weight, hidden_weight, query_weight, location_weight, energy_weight)
        ctx.save_for_backward(parent, owner, values, *weights, h, c, a, gates, inner, u)
        ctx.sizes = sizes
        return torch.cat([h[1:], c[1:]], 1)  # (N, H + E)

    @staticmethod
    @torch.autograd.function.once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs, in their order (None for parent, owner, sizes and pad)."""
        parent, owner, values, wc, wh, wq, wl, v, h, c, a, gates, inner, u = ctx.saved_tensors
        nodes, frames, units = u.shape
        batch, hidden, width, taps = len(values), h.size(1), c.size(1), wl.size(1)
        half = taps // 2
        d_input = grad.new_empty(nodes, 3 * hidden)  # (N, 3H) of x + Wc c
        d_state = grad.new_empty(nodes, 3 * hidden)  # (N, 3H) of Wh h + b
        d_query = grad.new_empty(nodes, units)  # (N, A)
        # gradients from children to their parents (row 0 has none); contexts and states are also used directly
        d_h, d_c = (F.pad(part, (0, 0, 1, 0)) for part in grad.split([hidden, width], 1))  # (N + 1, H), (N + 1, E)
        d_a = grad.new_zeros(nodes + 1, frames)  # (N + 1, S)
        d_keys = grad.new_zeros(batch, frames, units)  # (B, S, A)
        d_location, d_v = grad.new_zeros(wl.shape), grad.new_zeros(units)  # (A, W), (A,)
        most = max(ctx.sizes)
        # buffers of one step, reused by the next: memory beyond the cache would cost more than the arithmetic
        buffer, square = grad.new_empty(2, most, frames, units)  # (n, S, A) of key + Wq h' + Wl * a
        spread = grad.new_zeros(most, frames + 2 * half, taps)  # (n, S + W - 1, W) zero at both ends
        strides = (spread.stride(0), taps, taps + 1)
        reverse = wl.flip(1)  # (A, W)
        transposed = values.transpose(1, 2)  # (B, E, S)
        for start, end in reversed(list(spans(ctx.sizes))):
            size, here, after = end - start, slice(start, end), slice(start + 1, end + 1)
            above, whose = parent[here] + 1, owner[here]  # (n,), (n,)
            # c' = a' values, then the softmax
            d_align = torch.bmm(d_c[after].unsqueeze(1), transposed[whose]).squeeze(1) + d_a[after]  # (n, S)
            p = a[after] * d_align  # (n, S)
            d_energy = torch.addcmul(p, a[after], p.sum(1, keepdim=True), value=-1)  # (n, S)
            # v . tanh(...)
            tanh, d_mixed = u[here], buffer[:size]  # (n, S, A) both
            d_v.addmv_(tanh.view(-1, units).t(), d_energy.view(-1))
            torch.mul(d_energy.unsqueeze(2), v[0], out=d_mixed)
            d_mixed.addcmul_(d_mixed, torch.mul(tanh, tanh, out=square[:size]), value=-1)
            torch.sum(d_mixed, 1, out=d_query[here])
            d_keys.index_add_(0, whose, d_mixed)
            # the location convolution: frame s depends on a at s - W/2 ... s + W/2
            flat = d_mixed.view(-1, units)  # (n S, A)
            d_location.addmm_(flat.t(), windows(a[above], taps))
            spread[:size, half : half + frames] = (flat @ reverse).view(size, frames, taps)
            d_a.index_add_(0, above, spread[:size].as_strided((size, frames, taps), strides).sum(2))
            # h' = n + z (h - n)
            d_after = torch.addmm(d_h[after], d_query[here], wq)  # (n, H)
            r, z, n = gates[here].split(hidden, 1)  # (n, H) each
            d_n = d_after * (1 - z) * (1 - n * n)  # (n, H) before the tanh
            d_z = d_after * (h[above] - n) * z * (1 - z)  # (n, H) before the sigmoid
            d_r = d_n * inner[here] * r * (1 - r)  # (n, H) before the sigmoid
            torch.cat([d_r, d_z, d_n], 1, out=d_input[here])
            torch.cat([d_r, d_z, d_n * r], 1, out=d_state[here])
            d_h.index_add_(0, above, torch.addmm(d_after * z, d_state[here], wh))
            d_c.index_add_(0, above, d_input[here] @ wc)
        return (
            d_input,
            None,
            None,
            None,
            d_keys,
            by_owner(a[1:], d_c[1:], owner, batch),
            None,
            d_input.t() @ c[parent + 1],
            d_state.t() @ h[parent + 1],
            d_state.sum(0),
            d_query.t() @ h[1:],
            d_location,
            d_v[None],
        )


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


def windows(align: Tensor, taps: int) -> Tensor:
    """What the location kernel reads around each frame, zeros outside: (n, S) -> (n * S, W)."""
    return F.pad(align, (taps // 2, taps // 2)).unfold(1, taps, 1).reshape(-1, taps)
