"""A recurrent attention decoder: searches on a grid of B utterances x K hypotheses, trains on a tree of prefixes.

    B  utterances     K  hypotheses of each     S  encoded frames     E  encoder size
    L  output steps   V  tokens                 H  hidden units       A  attention units
    N  prefixes of the hypotheses of a batch, each once (kdasr.networks.prefixes)

Its shape is that of Mun'im et al. 2018, section 4.1: an embedding, GRU layers fed with the embedding
and the last context, location-aware additive attention (Chorowski et al. 2015, eq. 8 and 9), and a
linear output on state and context. What depends on the audio alone is computed once an utterance
and broadcast over its hypotheses, so K hypotheses cost far less than K utterances.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kdasr.losses.sequence import PADDING
from kdasr.networks.encoder import padding
from kdasr.networks.prefixes import Prefixes, chains, prefixes_of
from kdasr.networks.recurrence import AttentionGRU, spans
from kdasr.networks.scored import Scored

BLOCK = 600_000  # floats that stay in a CPU's cache
CELLS = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}


class Memory(NamedTuple):
    """What the decoder needs of the audio, computed once for each utterance; every tensor's first axis is B."""

    keys: Tensor  # (B, S, A) projected encoder output
    values: Tensor  # (B, S, E) encoder output
    pad: Tensor  # (B, S) True behind the utterance's end


class State(NamedTuple):
    """The decoder's state of each hypothesis; every tensor's first axes are (B, K)."""

    hidden: Tensor  # (B, K, layers, H)
    cell: Tensor  # (B, K, layers, H); of no use to a GRU, and then of size (B, K, 0, H)
    context: Tensor  # (B, K, E) what attention gave last
    align: Tensor  # (B, K, S) where attention looked last, a distribution


class AttentionDecoder(Scored):
    """GRU (or LSTM) decoder with location-aware attention, as an ESPnet decoder (`decoder: attention_gru`).

    Args:
        vocab_size: V; the last token is <sos/eos>.
        encoder_output_size: E.
        hidden_size: H of each layer.
        num_layers: of the recurrent network.
        embed_size: of token embeddings (32 in the paper).
        attention_size: A.
        kernel_size: taps of the location convolution, odd (15 in the paper).
        cell_type: "gru" or "lstm".
        dropout_rate: on embeddings and on the output's input.
        sampling_probability: how often training feeds the decoder's own best token instead of the
            target's (the paper's "teacher forcing rate" 0.4, read as awni/speech's sample_prob).
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        hidden_size: int = 256,
        num_layers: int = 1,
        embed_size: int = 32,
        attention_size: int = 128,
        kernel_size: int = 15,
        cell_type: str = "gru",
        dropout_rate: float = 0.1,
        sampling_probability: float = 0.0,
    ) -> None:
        super().__init__()
        self.sos = self.eos = vocab_size - 1
        self.hidden_size, self.num_layers, self.cell_type = hidden_size, num_layers, cell_type
        self.sampling_probability = sampling_probability
        self.embed = nn.Embedding(vocab_size, embed_size)
        sizes = [embed_size + encoder_output_size] + [hidden_size] * (num_layers - 1)
        self.cells = nn.ModuleList(CELLS[cell_type](size, hidden_size) for size in sizes)
        self.key = nn.Linear(encoder_output_size, attention_size)
        self.query = nn.Linear(hidden_size, attention_size, bias=False)
        self.location = nn.Linear(kernel_size, attention_size, bias=False)  # a convolution, one matmul
        self.energy = nn.Linear(attention_size, 1, bias=False)
        self.output = nn.Linear(hidden_size + encoder_output_size, vocab_size)
        self.dropout = nn.Dropout(dropout_rate)
        self.kernel_size = kernel_size

    def remember(self, hs: Tensor, hlens: Tensor) -> Memory:
        """Prepare encoder output (B, S, E) with lengths (B,) for attention."""
        return Memory(self.key(hs), hs, padding(hlens.to(hs.device), hs.size(1)))

    def start(self, memory: Memory, hypotheses: int) -> State:
        """The state before <sos>, for K hypotheses of each utterance: all zero, no frame attended."""
        batch, frames, width = memory.values.shape
        cells = self.num_layers if self.cell_type == "lstm" else 0

        def zeros(*shape: int) -> Tensor:
            return memory.values.new_zeros(batch, hypotheses, *shape)

        return State(
            zeros(self.num_layers, self.hidden_size), zeros(cells, self.hidden_size), zeros(width), zeros(frames)
        )

    def step(self, tokens: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Log-probabilities (B, K, V) of the token after `tokens` (B, K), and the state that follows."""
        features, state = self._advance(self.embed(tokens), state, memory)  # (B, K, H + E)
        return torch.log_softmax(self.output(features), dim=-1), state  # (B, K, V)

    @staticmethod
    def centre(state: State) -> Tensor:
        """The frame (B, K) that each hypothesis attended to most in its last step."""
        return state.align.argmax(2)

    def forward(self, hs_pad: Tensor, hlens: Tensor, ys_in_pad: Tensor, ys_in_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, L, V) for target prefixes (B, L), as ESPnet's training calls a decoder; zero behind the end."""
        behind = padding(ys_in_lens.to(ys_in_pad.device), ys_in_pad.size(1))  # (B, L)
        ys_in = ys_in_pad.masked_fill(behind, PADDING)[:, None]  # (B, 1, L)
        prefixes = prefixes_of(ys_in, torch.ones_like(ys_in[:, :, 0], dtype=torch.bool))
        flat = self.forward_prefixes(hs_pad, hlens, prefixes)  # (N, V)
        logits = flat.new_zeros(*ys_in_pad.shape, flat.size(-1))  # (B, L, V)
        logits[~behind] = flat[prefixes.path[:, 0][~behind]]
        return logits, ys_in_lens

    def forward_prefixes(self, hs_pad: Tensor, hlens: Tensor, prefixes: Prefixes) -> Tensor:
        """Logits (N, V) after each prefix of hypotheses of audio (B, S, E), encoded once."""
        memory = self.remember(hs_pad, hlens)
        embedded = self.dropout(self.embed(prefixes.tokens))  # (N, embed)
        sampling = self.training and self.sampling_probability > 0
        if self.cell_type == "gru" and self.num_layers == 1 and not sampling:
            features = self._all_steps(embedded, prefixes, memory)  # (N, H + E)
        else:
            features = self._stepped(embedded, prefixes, memory, sampling)  # (N, H + E)
        return self.output(self.dropout(features))  # (N, V)

    def _all_steps(self, embedded: Tensor, prefixes: Prefixes, memory: Memory) -> Tensor:
        """The same result as `_stepped`, as one function with a gradient of its own: (N, embed) -> (N, H + E)."""
        cell = self.cells[0]
        from_token, from_context = cell.weight_ih.split([embedded.size(-1), memory.values.size(-1)], 1)  # (3H, .)
        x = nn.functional.linear(embedded, from_token, cell.bias_ih)  # (N, 3H)
        weights = (from_context, cell.weight_hh, cell.bias_hh, self.query.weight, self.location.weight)
        weights = (*weights, self.energy.weight)
        if prefixes.path.size(1) > 1:
            return AttentionGRU.apply(x, prefixes.parent, prefixes.owner, prefixes.sizes, *memory, *weights)
        order, utterances, rank = chains(prefixes)
        memory = Memory(*(part.index_select(0, utterances) for part in memory))
        features = AttentionGRU.apply(x.index_select(0, order), None, rank, prefixes.sizes, *memory, *weights)
        return features.index_select(0, order.argsort())  # (N, H + E)

    def _stepped(self, embedded: Tensor, prefixes: Prefixes, memory: Memory, sampling: bool = False) -> Tensor:
        """State and context (N, H + E) after each prefix, those of one length (n) together."""
        state = self.start(memory, 1)  # (B, 1, .)
        outputs: list[Tensor] = []
        before = 0  # prefixes that are shorter than those of the step before
        for start, end in spans(prefixes.sizes):
            owner = prefixes.owner[start:end]  # (n,)
            step_in = embedded[start:end]  # (n, embed)
            above = prefixes.parent[start:end] - before if outputs else owner  # (n,) row of the step before
            if outputs and sampling:
                own = self.embed(self.output(outputs[-1][above]).argmax(-1))  # (n, embed)
                sampled = torch.rand_like(own[:, :1]) < self.sampling_probability  # (n, 1)
                step_in = torch.where(sampled, own, step_in)
            state = State(*(tensor[above] for tensor in state))  # (n, 1, .)
            features, state = self._advance(step_in[:, None], state, Memory(*(part[owner] for part in memory)))
            outputs.append(features.squeeze(1))  # (n, H + E)
            before = start
        return torch.cat(outputs)  # (N, H + E)

    def _advance(self, embedded: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """One step of the recurrent layers and the attention: (B, K, embed) -> features (B, K, H + E)."""
        batch, grid, _ = embedded.shape
        below = torch.cat([embedded, state.context], -1).flatten(0, 1)  # (B * K, embed + E)
        hidden, cell = [], []
        for i, layer in enumerate(self.cells):
            h = state.hidden[:, :, i].flatten(0, 1)  # (B * K, H)
            if self.cell_type == "lstm":
                h, c = layer(below, (h, state.cell[:, :, i].flatten(0, 1)))  # (B * K, H) each
                cell.append(c)
            else:
                h = layer(below, h)  # (B * K, H)
            hidden.append(h)
            below = h
        top = below.view(batch, grid, -1)  # (B, K, H)
        context, align = self._attend(top, state.align, memory)  # (B, K, E), (B, K, S)
        state = State(
            torch.stack(hidden, 1).view(batch, grid, self.num_layers, -1),
            torch.stack(cell, 1).view(batch, grid, self.num_layers, -1) if cell else state.cell,
            context,
            align,
        )
        return torch.cat([top, context], -1), state

    def _attend(self, top: Tensor, align: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Location-aware attention: e = w . tanh(key + query + location), over the frames of each utterance."""
        half = self.kernel_size // 2
        taps = nn.functional.pad(align, (half, half)).unfold(2, self.kernel_size, 1)  # (B, K, S, taps)
        if torch.is_grad_enabled():
            mixed = self.location(taps)  # (B, K, S, A)
            mixed = mixed + memory.keys[:, None] + self.query(top)[:, :, None]  # (B, K, S, A)
            energy = self.energy(torch.tanh(mixed)).squeeze(-1)  # (B, K, S)
        else:
            energy = self._energies(self.query(top), taps, memory.keys)  # (B, K, S)
        align = torch.softmax(energy.masked_fill(memory.pad[:, None], float("-inf")), dim=-1)  # (B, K, S)
        return align @ memory.values, align  # (B, K, E)

    def _energies(self, query: Tensor, taps: Tensor, keys: Tensor) -> Tensor:
        """The same energies (B, K, S), but for a constant, where no gradient is needed: of (B, K, A) and (B, S, A).

        tanh(x) is 2 sigmoid(2 x) - 1: torch's sigmoid is six times as fast as its tanh on an AMD EPYC, and the 1 goes
        out of the softmax. On a CPU so many utterances go at once that what is between stays in the cache.
        """
        weights, energy = 2 * self.location.weight.t(), 2 * self.energy.weight[0]  # (taps, A), (A,)
        size = keys[0].numel() * query.size(1)  # K * S * A
        at_once = len(keys) if keys.is_cuda else max(1, BLOCK // max(1, size))
        blocks = []
        for q, t, k in zip(query.split(at_once), taps.split(at_once), keys.split(at_once), strict=True):
            # In two dimensions: torch multiplies what `unfold` gives matrix by matrix, and copies each.
            mixed = (t.reshape(-1, t.size(3)) @ weights).view(*t.shape[:3], -1)  # (B', K, S, A)
            mixed = mixed.add_(k[:, None], alpha=2).add_(q[:, :, None], alpha=2).sigmoid_()  # (B', K, S, A)
            blocks.append(mixed @ energy)  # (B', K, S)
        return torch.cat(blocks)
