"""The AWD-LSTM language model with a mixture of softmaxes, as an ESPnet `AbsLM`.

    B  streams or utterances   L  words of a piece   E  embedding   H  units of a layer   X  experts   V  words
    K  hypotheses of each      R  positions, B * L or some of them

Merity et al. 2018 (weight-dropped LSTM, variational and embedding dropout, tied embedding) and Yang et al. 2018
(mixture of softmaxes), in the layout of the latter's experiments, which Shi et al. 2019 take over: the last LSTM layer
has `last` units and no projection follows it;

    log P = logsumexp_k( log softmax(W_pi h)_k + log softmax(E tanh(W_k h) + b) ),    W_pi without bias.

With one expert there is neither W_pi nor W_k: the softmax is on the last layer, which then has the embedding's size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdasr.espnet import name

State = list[tuple[Tensor, Tensor]]  # (hidden, cell) of each layer, (B, H) each


class AwdLstm(name("espnet2.lm.abs_model:AbsLM")):  # type: ignore[misc]
    """The network; `config` below says which options there are."""

    def __init__(
        self,
        vocab_size: int,
        embed: int = 280,
        hidden: int = 960,
        last: int = 620,
        layers: int = 3,
        experts: int = 15,
        tie: bool = True,
        drop_input: float = 0.0,
        drop_hidden: float = 0.0,
        drop_output: float = 0.0,
        drop_latent: float = 0.0,
        drop_embed: float = 0.0,
        drop_weight: float = 0.0,
    ) -> None:
        """Make the network.

        Args:
            vocab_size: V.
            embed: E.
            hidden: H of all layers but the last.
            last: H of the last layer.
            layers: LSTM layers.
            experts: X; 1 is a plain softmax, and `last` must then be `embed`.
            tie: whether the output words are the embedding.
            drop_input: variational dropout of the embedding's output.
            drop_hidden: variational dropout between layers.
            drop_output: variational dropout of the last layer.
            drop_latent: variational dropout of the experts' vectors.
            drop_embed: share of the words that are dropped whole.
            drop_weight: DropConnect of the recurrent weights.
        """
        super().__init__()
        if experts == 1 and last != embed:
            raise ValueError(f"with one expert the last layer ({last}) must be as wide as the embedding ({embed})")
        self.experts, self.embed_size = experts, embed
        self.drop = {
            "input": drop_input,
            "hidden": drop_hidden,
            "output": drop_output,
            "latent": drop_latent,
            "embed": drop_embed,
            "weight": drop_weight,
        }
        self.embed = nn.Embedding(vocab_size, embed)
        sizes = [embed, *[hidden] * (layers - 1), last]
        self.layers = nn.ModuleList(
            nn.LSTM(before, after, batch_first=True) for before, after in itertools.pairwise(sizes)
        )
        if experts > 1:
            self.prior = nn.Linear(last, experts, bias=False)
            self.latent = nn.Linear(last, experts * embed)
        self.out = nn.Linear(embed, vocab_size)
        if tie:
            self.out.weight = self.embed.weight
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        nn.init.uniform_(self.out.weight, -0.1, 0.1)
        nn.init.zeros_(self.out.bias)

    def zero(self, batch: int) -> State:
        """The state before any word, for `batch` streams."""
        zero = self.out.bias.new_zeros
        return [(zero(batch, layer.hidden_size), zero(batch, layer.hidden_size)) for layer in self.layers]

    def hidden(self, words: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Run the recurrent layers.

        Args:
            words: (B, L) ids.
            state: before them.

        Returns:
            The last layer's output after dropout (B, L, last), the state after the words, and that output before
            dropout (B, L, last): which temporal activation regularisation needs.
        """
        x = self._locked(self._embedded(words), "input")  # (B, L, E)
        after: State = []
        for number, (layer, (h, c)) in enumerate(zip(self.layers, state, strict=True)):
            raw, h, c = self._layer(layer, x, h, c)  # (B, L, H), (B, H), (B, H)
            after.append((h, c))
            x = self._locked(raw, "output" if number == len(self.layers) - 1 else "hidden")
        return x, after, raw

    def log_probs(self, x: Tensor, latent_mask: Tensor | None = None) -> Tensor:
        """Log P of every word: (R, V) from the last layer's output (R, last).

        Args:
            x: output of `hidden`, positions in any order.
            latent_mask: (R, X * E) variational dropout of the experts' vectors (`latent_mask`).
        """
        if self.experts == 1:
            return torch.log_softmax(self.out(x), -1)
        vectors = torch.tanh(self.latent(x))  # (R, X * E)
        if latent_mask is not None:
            vectors = vectors * latent_mask
        each = torch.log_softmax(self.out(vectors.view(-1, self.experts, self.embed_size)), -1)  # (R, X, V)
        return torch.logsumexp(each + torch.log_softmax(self.prior(x), -1)[..., None], 1)  # (R, V)

    def log_probs_of(self, x: Tensor, rows: Tensor, words: Tensor) -> Tensor:
        """Log P (E,) of some words only, the same numbers as `log_probs` without dropout in half its time.

        Args:
            x: (n, last) output of `hidden`.
            rows: (E,) of x.
            words: (E,) after each of these rows.
        """
        vectors = x if self.experts == 1 else torch.tanh(self.latent(x)).view(-1, self.embed_size)  # (n X, embedding)
        logits = self.out(vectors)  # (n X, V)
        found = logits.view(len(x), self.experts, -1)[rows, :, words]  # (entries, X)
        most = logits.amax(1, keepdim=True)
        norm = (logits.sub_(most).exp_().sum(1).log() + most[:, 0]).view(len(x), self.experts)  # in place: it is large
        prior = torch.log_softmax(self.prior(x), -1) if self.experts > 1 else torch.zeros_like(norm)  # (n, X)
        return torch.logsumexp(found + (prior - norm)[rows], 1)

    def latent_mask(self, batch: int, steps: int) -> Tensor | None:
        """A dropout mask for `log_probs`, alike for all steps of a stream: (B * L, X * E), or None."""
        if not (self.training and self.drop["latent"] and self.experts > 1):
            return None
        kept = 1 - self.drop["latent"]
        mask = self.out.bias.new_empty(batch, 1, self.latent.out_features).bernoulli_(kept) / kept
        return mask.expand(batch, steps, -1).flatten(0, 1)

    def _embedded(self, words: Tensor) -> Tensor:
        if not (self.training and self.drop["embed"]):
            return self.embed(words)
        kept = 1 - self.drop["embed"]
        mask = self.embed.weight.new_empty(self.embed.num_embeddings, 1).bernoulli_(kept) / kept  # (V, 1)
        return F.embedding(words, self.embed.weight * mask)

    def _locked(self, x: Tensor, kind: str) -> Tensor:
        """Variational dropout: one mask (B, 1, H) for all steps."""
        if not (self.training and self.drop[kind]):
            return x
        kept = 1 - self.drop[kind]
        return x * (x.new_empty(x.size(0), 1, x.size(2)).bernoulli_(kept) / kept)

    def _layer(self, layer: nn.LSTM, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights: Sequence[Any] = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0]
        if self.training and self.drop["weight"]:
            # DropConnect: the same recurrent weights are missing in all steps of a piece
            weights[1] = F.dropout(weights[1], self.drop["weight"])  # type: ignore[index]
        state = (h[None].contiguous(), c[None].contiguous())
        out, h, c = torch.lstm(x, state, weights, True, 1, 0.0, self.training, False, True)
        return out, h[0], c[0]

    # ------------------------------------------------------------- as kdasr.search calls it: grids (B, K)

    def remember(self, hs: Tensor, hlens: Tensor) -> Tensor:
        """Nothing of the audio but its number and device: (B, 0)."""
        return hs[:, 0, :0]

    def start(self, memory: Tensor, hypotheses: int) -> State:
        """The state before any word, (B, K, H) each."""
        grid = len(memory), hypotheses
        return [(h.view(*grid, -1), c.view(*grid, -1)) for h, c in self.zero(grid[0] * grid[1])]

    def step(self, tokens: Tensor, state: State, memory: Tensor) -> tuple[Tensor, State]:
        """Log P (B, K, V) after `tokens` (B, K), and the state after these."""
        flat = [(h.flatten(0, 1), c.flatten(0, 1)) for h, c in state]
        logp, after = self(tokens.reshape(-1, 1), flat)
        return logp.view(*tokens.shape, -1), [(h.view(*tokens.shape, -1), c.view(*tokens.shape, -1)) for h, c in after]

    # ----------------------------------------------------------------------- as ESPnet calls it

    def forward(self, input: Tensor, hidden: State | None) -> tuple[Tensor, State]:
        """Log P (B, L, V) after each of the words (B, L), and the state; `hidden` None: from the start."""
        x, state, _ = self.hidden(input, hidden or self.zero(len(input)))
        logp = self.log_probs(x.flatten(0, 1), self.latent_mask(*input.shape))
        return logp.view(*input.shape, -1), state

    def score(self, y: Tensor, state: State | None, x: Tensor) -> tuple[Tensor, State]:
        """Log P (V,) of the word after the prefix `y` (L,); `x` is not used."""
        logp, state = self(y[-1:][None], state)
        return logp[0, 0], state

    def batch_score(self, ys: Tensor, states: list[Any], xs: Tensor) -> tuple[Tensor, list[Any]]:
        """Log P (B, V) of the words after prefixes `ys` (B, L), and a state of each; `xs` is not used."""
        state = None
        if states[0] is not None:
            state = [tuple(torch.cat(part) for part in zip(*layer, strict=True)) for layer in zip(*states, strict=True)]
        logp, state = self(ys[:, -1:], state)
        return logp[:, 0], [[(h[k : k + 1], c[k : k + 1]) for h, c in state] for k in range(len(ys))]
