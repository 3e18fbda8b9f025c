"""The networks of Mun'im et al. 2018, as published; `conv_rnn` and `attention_gru` are like them, but faster.

    B  utterances     T  input frames     F  input bins (161 of a 20 ms spectrogram at 16 kHz)
    C  channels, 32   S  encoded frames   H  hidden units, and output size of the encoder
    V  tokens

Section 4.1 and Table 1 give layers and sizes, and Table 2 numbers of parameters: 16.8, 6.1 and 1.7 million. The
numbers settle most of what the text leaves open (tests/networks/test_munim2018.py). Convolutions without padding leave
1120 values a frame; layers of the encoder concatenate their two directions, but the last sums them; the decoder runs
in one direction (two would make 21 million, whatever Table 1's "bi-GRU" says) on embedding and context. And
Student-small has no room for attention with projections: its encoder has 1.595 million, its decoder's GRU 0.111,
which leaves 0.010 for all the rest, if 1.7 is right within 1 %; projections take 0.033. So the score is
w . tanh(h_e + h_d + convolution), on vectors of one size, and what is classified is the sum of state and context.
awni/speech, whose WSJ example has Student-mid's encoder, does both so, with ReLU instead of tanh.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.networks.decoder import AttentionDecoder

TIME, FREQUENCY, STRIDE = 5, 8, 2  # of both convolutions' kernels, and both ways
CHANNELS = 32

Number = TypeVar("Number", int, Tensor)


class MunimEncoder(AbsEncoder):
    """Two valid convolutions and a bidirectional GRU, as an ESPnet encoder (`encoder: munim_rnn`).

    Args:
        input_size: F.
        hidden_size: H, units a direction.
        num_layers: of the GRU.
        dropout_rate: behind each convolution, and between layers.

    Raises:
        UserError: fewer bins than the convolutions need.
    """

    # Encoding an utterance alone or in a batch gives the same: no valid frame reads behind its utterance's end.
    batch_invariant = True
    # Input frames of the shortest utterance that something is left of: 5 frames of 5, each 2 further on.
    shortest = (TIME - 1) * STRIDE + TIME

    def __init__(self, input_size: int, hidden_size: int = 128, num_layers: int = 3, dropout_rate: float = 0.4) -> None:
        super().__init__()
        bins = after(after(input_size, FREQUENCY), FREQUENCY)
        if bins < 1:
            raise UserError(
                f"munim_rnn: {input_size} bins a frame are too few for its convolutions; "
                "make features with --type spectrogram"
            )
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, CHANNELS, (TIME, FREQUENCY), stride=STRIDE) for channels in (1, CHANNELS)
        )
        self.dropout = nn.Dropout(dropout_rate)
        between = dropout_rate if num_layers > 1 else 0.0
        self.rnn = nn.GRU(
            CHANNELS * bins, hidden_size, num_layers, batch_first=True, dropout=between, bidirectional=True
        )
        self._output_size = hidden_size

    def output_size(self) -> int:
        """H, the size of an encoded frame."""
        return self._output_size

    def forward(
        self, xs_pad: Tensor, ilens: Tensor, prev_states: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Encode padded features (B, T, F) with lengths (B,) into (B, S, H), lengths (B,), and no state.

        Raises:
            TooShortUttError: of an utterance nothing is left; decoding, ESPnet's and ours, takes it as empty.
        """
        lens = after(after(ilens, TIME), TIME)  # (B,)
        if int(lens.min()) < 1:
            frames = int(ilens.min())
            raise name("espnet.nets.pytorch_backend.transformer.subsampling:TooShortUttError")(
                f"munim_rnn: an utterance has {frames} frames, its convolutions need {self.shortest}; "
                "remove utterances as short as that from the set",
                frames,
                self.shortest,
            )
        x = xs_pad.unsqueeze(1)  # (B, 1, T, F)
        for conv in self.convs:
            x = self.dropout(torch.relu(conv(x)))  # (B, C, about T / 2, about F / 2)
        x = x.transpose(1, 2).flatten(2)  # (B, S, C * F')
        packed = pack_padded_sequence(x, lens.cpu(), batch_first=True, enforce_sorted=False)
        both, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)  # (B, S, 2H), zero behind the end
        ahead, back = both.chunk(2, -1)  # (B, S, H) each
        return ahead + back, lens, None


class MunimDecoder(AttentionDecoder):
    """`attention_gru` without projections, as the paper's sizes ask for (`decoder: munim_gru`).

    The score of a frame is w . tanh(h_e + h_d + convolution of the weights before), and <eos> or a
    character is classified from the sum of state and context, so that H is the encoder's size too.

    Args:
        vocab_size: V; the last token is <sos/eos>.
        encoder_output_size: H.
        hidden_size: H.
        num_layers, embed_size, kernel_size, dropout_rate, sampling_probability: as AttentionDecoder has them.

    Raises:
        UserError: the two sizes differ.
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        hidden_size: int = 128,
        num_layers: int = 1,
        embed_size: int = 32,
        kernel_size: int = 15,
        dropout_rate: float = 0.4,
        sampling_probability: float = 0.0,
    ) -> None:
        if hidden_size != encoder_output_size:
            raise UserError(
                f"munim_gru: hidden_size {hidden_size} is added to the encoder's {encoder_output_size}; "
                "give both networks the same hidden_size"
            )
        super().__init__(
            vocab_size,
            encoder_output_size,
            hidden_size,
            num_layers,
            embed_size,
            attention_size=hidden_size,
            kernel_size=kernel_size,
            cell_type="gru",
            dropout_rate=dropout_rate,
            sampling_probability=sampling_probability,
        )
        self.key = nn.Identity()
        self.query = AsItIs(hidden_size)
        self.output = OfTheSum(hidden_size, vocab_size)


class AsItIs(nn.Module):
    """In place of a square nn.Linear: it changes nothing, and has the `weight` that AttentionGRU reads."""

    weight: Tensor  # (H, H) the identity, no parameter and in no checkpoint

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., H) -> (..., H)."""
        return x


class OfTheSum(nn.Linear):
    """Logits of the sum of state and context."""

    def forward(self, features: Tensor) -> Tensor:
        """State and context, concatenated (..., 2H) -> (..., V)."""
        state, context = features.chunk(2, -1)  # (..., H) each
        return super().forward(state + context)


def after(size: Number, kernel: int) -> Number:
    """Frames, or bins, that a valid convolution of this kernel leaves of so many; below 1: nothing."""
    return (size - kernel) // STRIDE + 1
