"""The decoder's recurrence as one differentiable function, its gradient written out.

    B  utterances     K  hypotheses of each     L  output steps     S  encoded frames
    H  hidden units   E  encoder size           A  attention units  J  taps of the location kernel

A decoder step is two dozen small operations; autograd records each of them at every step, and its
bookkeeping, not the arithmetic, was most of the time of a small student on a CPU. Here the steps run
without it, and what does not depend on the order of steps (the gradients of every weight, of the keys
and of the values) is one matrix product over all steps instead of L small ones.

With h the state, c the context, a the alignment of a hypothesis (Chorowski et al. 2015, eq. 5 to 9; the
GRU in PyTorch's form):

    r, z = sigmoid((x + Wc c)_rz + (Wh h + b)_rz)          n = tanh((x + Wc c)_n + r (Wh h + b)_n)
    h'   = n + z (h - n)                                   u = tanh(key + Wq h' + Wl * a)
    a'   = softmax_s(v . u)                                c' = sum_s a'_s value_s
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class AttentionGRU(torch.autograd.Function):
    """All L steps of a one-layer GRU with location-aware attention: (B, K, L, H + E), state beside context.

    Inputs, in this order:
        x: (B, K, L, 3H) what the tokens add to the gates, bias included.
        keys, values, pad: (B, S, A), (B, S, E), (B, S); pad is True behind an utterance's end.
        context_weight: (3H, E) Wc.      hidden_weight, hidden_bias: (3H, H) Wh, (3H,) b.
        query_weight: (A, H) Wq.         location_weight: (A, J) Wl.      energy_weight: (1, A) v.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(
        ctx: Any,
        x: Tensor,
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
        """State and context of every step: (B, K, L, H + E)."""
        batch, grid, steps, _ = x.shape
        frames, width, hidden, taps = keys.size(1), values.size(2), hidden_weight.size(1), location_weight.size(1)
        rows, rz = batch * grid, 2 * hidden
        gates_in = x.permute(2, 0, 1, 3).reshape(steps, rows, -1)  # (L, BK, 3H)
        # what the backward pass reads; state 0 is that before <sos>
        h = x.new_zeros(steps + 1, rows, hidden)  # (L + 1, BK, H)
        c = x.new_zeros(steps + 1, rows, width)  # (L + 1, BK, E)
        a = x.new_zeros(steps + 1, rows, frames)  # (L + 1, BK, S)
        u = x.new_empty(steps, batch, grid, frames, keys.size(2))  # (L, B, K, S, A)
        gates = x.new_empty(steps, rows, 3 * hidden)  # (L, BK, 3H) r, z, n
        inner = x.new_empty(steps, rows, hidden)  # (L, BK, H) (Wh h + b)_n
        energy_vector, pad = energy_weight[0], pad[:, None]  # (A,), (B, 1, S)
        for i in range(steps):
            from_input = torch.addmm(gates_in[i], c[i], context_weight.t())  # (BK, 3H)
            from_state = torch.addmm(hidden_bias, h[i], hidden_weight.t())  # (BK, 3H)
            torch.sigmoid(from_input[:, :rz] + from_state[:, :rz], out=gates[i, :, :rz])
            inner[i] = from_state[:, rz:]
            r, z, n = gates[i].split(hidden, 1)  # (BK, H) each
            torch.tanh(torch.addcmul(from_input[:, rz:], r, from_state[:, rz:]), out=n)
            torch.lerp(n, h[i], z, out=h[i + 1])
            query = (h[i + 1] @ query_weight.t()).view(batch, grid, 1, -1)  # (B, K, 1, A)
            torch.add(keys[:, None], query, out=u[i])
            u[i].view(rows * frames, -1).addmm_(windows(a[i], taps), location_weight.t()).tanh_()
            energy = (u[i] @ energy_vector).masked_fill_(pad, float("-inf"))  # (B, K, S)
            torch.softmax(energy.view(rows, frames), 1, out=a[i + 1])
            torch.bmm(a[i + 1].view(batch, grid, frames), values, out=c[i + 1].view(batch, grid, width))
        weights = (context_weight, hidden_weight, query_weight, location_weight, energy_weight)
        ctx.save_for_backward(values, *weights, h, c, a, gates, inner, u)
        features = torch.cat([h[1:], c[1:]], 2)  # (L, BK, H + E)
        return features.view(steps, batch, grid, hidden + width).permute(1, 2, 0, 3)

    @staticmethod
    @torch.autograd.function.once_differentiable
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs, in their order (None for pad)."""
        values, wc, wh, wq, wl, v, h, c, a, gates, inner, u = ctx.saved_tensors
        steps, batch, grid, frames, units = u.shape
        rows, hidden, width, taps = batch * grid, h.size(2), c.size(2), wl.size(1)
        half = taps // 2
        grad = grad.permute(2, 0, 1, 3).reshape(steps, rows, hidden + width)  # (L, BK, H + E)
        d_input = grad.new_empty(steps, rows, 3 * hidden)  # (L, BK, 3H) of x + Wc c
        d_state = grad.new_empty(steps, rows, 3 * hidden)  # (L, BK, 3H) of Wh h + b
        d_query = grad.new_empty(steps, rows, units)  # (L, BK, A)
        d_context = grad[:, :, hidden:].clone()  # (L, BK, E)
        d_keys = grad.new_zeros(batch, frames, units)  # (B, S, A)
        d_location, d_v = grad.new_zeros(wl.shape), grad.new_zeros(units)  # (A, J), (A,)
        # one step's, written over at the next: more than a cache holds would cost more than to compute
        d_mixed, square = grad.new_empty(2, batch, grid, frames, units)  # (B, K, S, A) of key + Wq h' + Wl * a
        flat = d_mixed.view(rows * frames, units)  # (BK S, A)
        d_h, d_a = grad.new_zeros(rows, hidden), grad.new_zeros(rows, frames)  # of step i + 1's state
        spread = grad.new_zeros(rows, frames + 2 * half, taps)  # (BK, S + J - 1, J) zero at both ends
        shape, strides = (rows, frames, taps), (spread.stride(0), taps, taps + 1)
        reverse = wl.flip(1)  # (A, J)
        transposed = values.transpose(1, 2)  # (B, E, S)
        for i in reversed(range(steps)):
            # c' = a' values, then the softmax
            d_a += torch.bmm(d_context[i].view(batch, grid, width), transposed).view(rows, frames)  # (BK, S)
            p = a[i + 1] * d_a  # (BK, S)
            d_energy = torch.addcmul(p, a[i + 1], p.sum(1, keepdim=True), value=-1)  # (BK, S)
            # v . tanh(...)
            d_v.addmv_(u[i].view(-1, units).t(), d_energy.view(-1))
            torch.mul(d_energy.view(batch, grid, frames, 1), v[0], out=d_mixed)
            d_mixed.addcmul_(d_mixed, torch.mul(u[i], u[i], out=square), value=-1)
            torch.sum(d_mixed.view(rows, frames, units), 1, out=d_query[i])
            d_keys += d_mixed.sum(1)
            # the location convolution: frame s heard a at s - J/2 ... s + J/2
            d_location.addmm_(flat.t(), windows(a[i], taps))
            spread[:, half : half + frames] = (flat @ reverse).view(rows, frames, taps)
            d_a = spread.as_strided(shape, strides).sum(2)  # (BK, S)
            # h' = n + z (h - n)
            d_h = d_h + grad[i, :, :hidden] + d_query[i] @ wq  # (BK, H)
            r, z, n = gates[i].split(hidden, 1)  # (BK, H) each
            d_n = d_h * (1 - z) * (1 - n * n)  # (BK, H) before the tanh
            d_z = d_h * (h[i] - n) * z * (1 - z)  # (BK, H) before the sigmoid
            d_r = d_n * inner[i] * r * (1 - r)  # (BK, H) before the sigmoid
            torch.cat([d_r, d_z, d_n], 1, out=d_input[i])
            torch.cat([d_r, d_z, d_n * r], 1, out=d_state[i])
            d_h = torch.addmm(d_h * z, d_state[i], wh)  # (BK, H)
            if i:
                d_context[i - 1] += d_input[i] @ wc
        flat_input, flat_state = d_input.flatten(0, 1), d_state.flatten(0, 1)  # (L BK, 3H)
        a = a[1:].view(steps, batch, grid, frames).permute(1, 3, 0, 2).reshape(batch, frames, -1)  # (B, S, LK)
        d_context = d_context.view(steps, batch, -1, width).transpose(0, 1).reshape(batch, -1, width)  # (B, LK, E)
        return (
            d_input.view(steps, batch, grid, -1).permute(1, 2, 0, 3),
            d_keys,
            a @ d_context,
            None,
            flat_input.t() @ c[:-1].flatten(0, 1),
            flat_state.t() @ h[:-1].flatten(0, 1),
            flat_state.sum(0),
            d_query.flatten(0, 1).t() @ h[1:].flatten(0, 1),
            d_location,
            d_v[None],
        )


def windows(align: Tensor, taps: int) -> Tensor:
    """What the location kernel reads around each frame, zeros outside: (N, S) -> (N * S, J)."""
    return F.pad(align, (taps // 2, taps // 2)).unfold(1, taps, 1).reshape(-1, taps)
