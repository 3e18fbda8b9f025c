"""A student's networks as graphs for stock sherpa-onnx: inputs, outputs and order as two of its slots take them.

    N  utterances     T  input frames     F  input bins      S  encoded frames    E  encoder output
    V  tokens         A  attention units  J  layers          H  hidden units      D  width of a cache

sherpa-onnx/csrc of k2-fsa/sherpa-onnx, files offline-fire-red-asr*.cc, has these slots. Its attention slot keeps
keys and values of a transformer in two caches (1, 1, rows, 1, D), all zero before <sos>, which a decoder may give back
in any size. Here the first holds a recurrent decoder's layers and context, a row each; the second where it looked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdasr.export.own import AttentionStep, ConvRNN
from kdasr.export.parts import EncoderGraph
from kdasr.networks.encoder import padding, reversal

FORCED = 1e9  # added to <eos> where a hypothesis has reached its limit


class CtcBatch(nn.Module):
    """CTC of `conv_rnn` for a padded batch, which sherpa-onnx makes of several streams.

    Args:
        whole: with an encoder `ConvRNN`, and nothing before it that reads other frames.
    """

    def __init__(self, whole: EncoderGraph) -> None:
        super().__init__()
        assert isinstance(whole.encoder, ConvRNN) and whole.ctc is not None
        self.before, self.encoder, self.ctc = whole.before, whole.encoder.encoder, whole.ctc

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, F), (N,) -> log probabilities (N, S, V), lengths (N,)."""
        encoder = self.encoder
        x = self.before(x)[:, None]  # (N, 1, T, F)
        for conv, norm, stride in zip(encoder.convs, encoder.norms, encoder.time_strides, strict=True):
            x = x.masked_fill(padding(lens, x.size(2))[:, None, :, None], 0.0)  # (N, C, T, F)
            x = torch.relu(norm(conv(x)))  # (N, C, T / stride, F / 2)
            lens = torch.div(lens + stride - 1, stride, rounding_mode="floor")  # (N,)
        x = encoder.project(x.transpose(1, 2).flatten(2))  # (N, S, E)
        order = reversal(lens, x.size(1))  # (N, S)
        for layer in encoder.layers:
            x = layer(x, order)  # (N, S, E)
        return torch.log_softmax(self.ctc(x), -1), lens


class CtcAlone(nn.Module):
    """CTC of any encoder, for one utterance: N is 1, and onnxruntime refuses others."""

    def __init__(self, whole: EncoderGraph) -> None:
        super().__init__()
        assert whole.ctc is not None
        self.before, self.encoder, self.ctc = whole.before, whole.encoder, whole.ctc

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T, F), (1,) -> log probabilities (1, S, V), lengths (1,)."""
        hs = self.encoder(self.before(x[0, : lens[0]]))  # (S, E)
        logp = torch.log_softmax(self.ctc(hs), -1)[None]  # (1, S, V)
        return logp, torch.zeros_like(lens) + logp.size(1)


class AttentionEncoder(nn.Module):
    """What an attention decoder needs of one utterance, in the place of a transformer's keys and values."""

    def __init__(self, whole: EncoderGraph) -> None:
        super().__init__()
        self.before, self.encoder, self.decoder = whole.before, whole.encoder, whole.decoder

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T, F), (1,) -> (1, 1, S, A), (1, 1, S, E)."""
        keys, values = self.decoder.remember(self.encoder(self.before(x[0, : lens[0]])))  # (A, S), (S, E)
        return keys.t()[None, None], values[None, None]


class AttentionCaches(nn.Module):
    """A step of `attention_gru` or `munim_gru` on sherpa-onnx's caches.

    After S tokens <eos> follows, which is where kdasr's own search stops.

    Args:
        step: of the decoder.
        eos: its id.
    """

    def __init__(self, step: AttentionStep, eos: int) -> None:
        super().__init__()
        decoder = step.decoder
        self.step, self.layers, self.size = step, decoder.num_layers, decoder.hidden_size
        self.rows = decoder.num_layers * (2 if decoder.cell_type == "lstm" else 1)  # of layers
        self.context = decoder.cells[0].input_size - decoder.embed.embedding_dim  # E
        self.width = max(self.size, self.context)  # D
        end = torch.zeros(decoder.output.out_features)  # (V,)
        end[eos] = FORCED
        self.register_buffer("end", end, persistent=False)

    def forward(
        self, tokens: Tensor, self_k: Tensor, self_v: Tensor, cross_k: Tensor, cross_v: Tensor, offset: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (1, 1), caches, (1, 1, S, A), (1, 1, S, E), tokens so far (1,) -> logits (1, 1, V), caches."""
        keys, values = cross_k[0, 0].t(), cross_v[0, 0]  # (A, S), (S, E)
        cache = self_k[0, 0, :, 0]  # (rows, D)
        hidden = [part[None] for part in cache[: self.rows, : self.size].split(self.layers)]  # (1, J, H) each
        context = cache[self.rows, : self.context][None]  # (1, E)
        align = self_v.flatten()[: values.size(0)][None]  # (1, S)
        logp, state = self.step.step(tokens[:, 0], (keys, values), (*hidden, context, align))
        *hidden, context, align = state
        rows = [nn.functional.pad(part[0], (0, self.width - self.size)) for part in hidden]
        rows.append(nn.functional.pad(context, (0, self.width - self.context)))
        over = (offset >= values.size(0)).to(logp.dtype)[:, None]  # (1, 1)
        cache = torch.cat(rows)[None, None, :, None]  # (1, 1, rows, 1, D)
        return (logp + over * self.end)[:, None], cache, align[None, None, :, :, None].transpose(2, 3)
