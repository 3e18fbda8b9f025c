"""A recurrent decoder with Luong's global attention, as Kim and Rush (2016) translate with.

    B  utterances     K  hypotheses of each     S  encoded frames     E  encoder size   D  embedding
    L  output steps   V  tokens                 H  hidden units       A  size of the attentional vector
    J  layers         G  values of a state that starts, 2 J H of an LSTM and J H of a GRU
    N  prefixes of the hypotheses of a batch, each once (kdasr.networks.prefixes)   n  those of one length

Luong, Pham and Manning 2015 (Effective approaches to attention-based neural machine translation), eq. 5 to 8, h the
top layer's state after the last token, s_i the encoder's output:

    a_i = softmax_i(h . W s_i)      c = sum_i a_i s_i      v = tanh(M [h; c])      p = softmax(O v)

With input feeding (their section 3.3) v is part of the next step's input, and training goes step by step. Without, the
layers run over whole sequences at once, which on a CPU is several times as fast. Theirs begin with the encoder's last
state; as an ESPnet decoder sees the encoder's output alone, these begin with tanh(I mean_i s_i).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kdasr.networks.encoder import RNN, padding
from kdasr.networks.prefixes import Prefixes
from kdasr.networks.recurrence import spans
from kdasr.networks.scored import Scored


class Memory(NamedTuple):
    """What the decoder needs of the source, computed once for each utterance; every tensor's first axis is B."""

    keys: Tensor  # (B, S, H) projected encoder output
    values: Tensor  # (B, S, E) encoder output
    pad: Tensor  # (B, S) True behind the utterance's end
    first: Tensor  # (B, G) the state before <sos>


class State(NamedTuple):
    """The decoder's state of each hypothesis; every tensor's first axes are (B, K)."""

    hidden: Tensor  # (B, K, J, H)
    cell: Tensor  # (B, K, J, H); (B, K, 0, H) of a GRU
    fed: Tensor  # (B, K, A) the attentional vector that is fed; (B, K, 0) without input feeding
    align: Tensor  # (B, K, S) where attention looked last, a distribution


class LuongDecoder(Scored):
    """LSTM (or GRU) layers with global attention, as an ESPnet decoder (`decoder: luong`).

    Args:
        vocab_size: V; the last token is <sos/eos>.
        encoder_output_size: E.
        hidden_size: H of each layer.
        num_layers: J.
        embed_size: D of token embeddings.
        rnn_type: "lstm" or "gru".
        input_feeding: whether a step reads the attentional vector of the one before.
        tie_output: whether the output layer's matrix is that of the embeddings; A is then D, else H.
        dropout_rate: on embeddings, between layers, and on the attentional vector.
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        hidden_size: int = 256,
        num_layers: int = 2,
        embed_size: int = 256,
        rnn_type: str = "lstm",
        input_feeding: bool = False,
        tie_output: bool = False,
        dropout_rate: float = 0.1,
    ) -> None:
        super().__init__()
        self.sos = self.eos = vocab_size - 1
        self.states = 2 if rnn_type == "lstm" else 1  # of a layer: hidden, and perhaps cell
        self.hidden_size, self.num_layers, self.input_feeding = hidden_size, num_layers, input_feeding
        vector = embed_size if tie_output else hidden_size
        self.vector = vector if input_feeding else 0  # of it that is fed
        self.embed = nn.Embedding(vocab_size, embed_size)
        self.rnn = RNN[rnn_type](
            embed_size + self.vector,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout_rate if num_layers > 1 else 0.0,
        )
        self.begin = nn.Linear(encoder_output_size, self.states * num_layers * hidden_size)
        self.key = nn.Linear(encoder_output_size, hidden_size, bias=False)
        self.mix = nn.Linear(hidden_size + encoder_output_size, vector, bias=False)
        self.output = nn.Linear(vector, vocab_size)
        if tie_output:
            nn.init.normal_(self.embed.weight, std=embed_size**-0.5)  # or logits would begin far apart
            self.output.weight = self.embed.weight
        self.dropout = nn.Dropout(dropout_rate)

    def remember(self, hs: Tensor, hlens: Tensor) -> Memory:
        """Prepare encoder output (B, S, E) with lengths (B,) for attention."""
        lens = hlens.to(hs.device)  # (B,)
        pad = padding(lens, hs.size(1))  # (B, S)
        mean = hs.masked_fill(pad[:, :, None], 0.0).sum(1) / lens[:, None]  # (B, E)
        return Memory(self.key(hs), hs, pad, torch.tanh(self.begin(mean)))

    def start(self, memory: Memory, hypotheses: int) -> State:
        """The state before <sos>, for K hypotheses of each utterance."""
        batch, frames = memory.pad.shape
        shape = (batch, 1, self.states, self.num_layers, self.hidden_size)
        first = memory.first.view(shape).expand(-1, hypotheses, -1, -1, -1)  # (B, K, 2 or 1, J, H)
        hidden, cell = first[:, :, 0], first[:, :, 1:].flatten(2, 3)  # (B, K, J, H), (B, K, J or 0, H)
        zeros = memory.values.new_zeros
        return State(hidden, cell, zeros(batch, hypotheses, self.vector), zeros(batch, hypotheses, frames))

    def step(self, tokens: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Log-probabilities (B, K, V) of the token after `tokens` (B, K), and the state that follows."""
        vector, state = self._advance(self.embed(tokens), state, memory)  # (B, K, A)
        return torch.log_softmax(self.output(vector), dim=-1), state  # (B, K, V)

    @staticmethod
    def centre(state: State) -> Tensor:
        """The frame (B, K) that each hypothesis attended to most in its last step."""
        return state.align.argmax(2)

    def forward(self, hs_pad: Tensor, hlens: Tensor, ys_in_pad: Tensor, ys_in_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, L, V) after target prefixes (B, L), as ESPnet's training calls a decoder; rubbish behind."""
        memory = self.remember(hs_pad, hlens)
        embedded = self.dropout(self.embed(ys_in_pad))  # (B, L, D)
        if not self.input_feeding:
            vectors = self._vectors(*self._whole(embedded[:, None], memory))  # (B, L, A)
            return self.output(self.dropout(vectors)), ys_in_lens
        state, vectors = self.start(memory, 1), []
        for one in embedded.split(1, 1):  # (B, 1, D)
            vector, state = self._advance(one, state, memory)  # (B, 1, A)
            vectors.append(vector)
        return self.output(torch.cat(vectors, 1)), ys_in_lens

    def forward_prefixes(self, hs_pad: Tensor, hlens: Tensor, prefixes: Prefixes) -> Tensor:
        """Logits (N, V) after each prefix of hypotheses of source text (B, S, E), encoded once.

        Without input feeding the layers run on the hypotheses one by one, and only what attention makes of a prefix
        (the output over all tokens is most of the work) is computed once.
        """
        memory = self.remember(hs_pad, hlens)
        if self.input_feeding:
            return self.output(self._stepped(prefixes, memory))  # (N, V)
        tokens = prefixes.tokens[prefixes.path.clamp(min=0)]  # (B, K, L)
        whole = self._whole(self.dropout(self.embed(tokens)), memory)  # (B, K L, H), (B, K L, E)
        here = [part.flatten(0, 1)[prefixes.place] for part in whole]  # (N, H), (N, E)
        return self.output(self.dropout(self._vectors(*here)))  # (N, V)

    def _whole(self, embedded: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """States and contexts of all steps at once: (B, K, L, D) -> (B, K L, H), (B, K L, E)."""
        state = self.start(memory, embedded.size(1))
        top, _ = self.rnn(embedded.flatten(0, 1), self._layers(state))  # (B K, L, H)
        top = top.unflatten(0, embedded.shape[:2]).flatten(1, 2)  # (B, K L, H)
        return top, self._attend(top, memory)[0]

    def _stepped(self, prefixes: Prefixes, memory: Memory) -> Tensor:
        """The attentional vector (N, A), dropped out, after each prefix, those of one length (n) together."""
        embedded = self.dropout(self.embed(prefixes.tokens))  # (N, D)
        state, vectors, before = self.start(memory, 1), [], 0
        for start, end in spans(prefixes.sizes):
            owner = prefixes.owner[start:end]  # (n,)
            above = prefixes.parent[start:end] - before if vectors else owner  # (n,) row of the step before
            state = State(*(tensor[above] for tensor in state))  # (n, 1, .)
            here = Memory(*(part[owner] for part in memory))
            vector, state = self._advance(embedded[start:end, None], state, here)  # (n, 1, A)
            vectors.append(vector.squeeze(1))
            before = start
        return torch.cat(vectors)  # (N, A)

    def _advance(self, embedded: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """One step of layers and attention: (B, K, D) -> the attentional vector (B, K, A), dropped out."""
        given = torch.cat([embedded, state.fed], -1).flatten(0, 1)[:, None]  # (B K, 1, D + A)
        top, layers = self.rnn(given, self._layers(state))  # (B K, 1, H)
        top = top.view(*embedded.shape[:2], -1)  # (B, K, H)
        context, align = self._attend(top, memory)  # (B, K, E), (B, K, S)
        vector = self.dropout(self._vectors(top, context))  # (B, K, A)
        each = layers if isinstance(layers, tuple) else (layers, layers[:0])  # (J, B K, H)
        hidden, cell = (part.transpose(0, 1).unflatten(0, embedded.shape[:2]) for part in each)  # (B, K, J, H)
        return vector, State(hidden, cell, vector if self.input_feeding else state.fed, align)

    def _layers(self, state: State) -> Tensor | tuple[Tensor, Tensor]:
        """A state as torch's RNNs take it: (J, B K, H), of an LSTM two."""
        hidden, cell = (part.flatten(0, 1).transpose(0, 1).contiguous() for part in (state.hidden, state.cell))
        return (hidden, cell) if self.states == 2 else hidden

    def _attend(self, top: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Contexts (B, K, E) and alignments (B, K, S) of states (B, K, H)."""
        scores = top @ memory.keys.transpose(1, 2)  # (B, K, S)
        align = torch.softmax(scores.masked_fill(memory.pad[:, None], float("-inf")), dim=-1)  # (B, K, S)
        return align @ memory.values, align

    def _vectors(self, top: Tensor, context: Tensor) -> Tensor:
        """The attentional vector (..., A) of states (..., H) and contexts (..., E)."""
        return torch.tanh(self.mix(torch.cat([top, context], -1)))
