"""ESPnet's CTC/attention model, trained on K weighted hypotheses of each utterance.

    B  utterances   K  hypotheses   L  output steps   V  tokens   T  frames   S  encoded frames

The audio is encoded once for all K. A batch without hypotheses (a reference, a validation set) takes
ESPnet's own path, so the same class trains teachers, students and controls.
"""

from __future__ import annotations

from typing import Any

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.device_funcs import force_gatherable
from torch import Tensor

from kdasr.losses.sequence import PADDING, accuracy, attention_loss, ctc_loss


class KDModel(ESPnetASRModel):
    """ESPnetASRModel whose forward() also takes the hypotheses that `kdasr targets` wrote.

    It is made by re-classing a built ESPnetASRModel, never constructed, and has no weights of its own:
    its checkpoints are those of a stock model.
    """

    def forward(
        self, speech: Tensor, speech_lengths: Tensor, text: Tensor, text_lengths: Tensor, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor | None], Tensor]:
        """Loss, statistics and weight of a batch.

        Args:
            speech: (B, T, F) features, or (B, samples).
            speech_lengths: (B,).
            text, text_lengths: (B, L), (B,): references; not looked at where hypotheses are given.
            kwargs: kd_hyps (B, N) all hypotheses of an utterance one after the other, kd_hyp_lens
                (B, K) their lengths, kd_weights (B, K) their weights.
        """
        if "kd_hyps" not in kwargs:
            return super().forward(speech, speech_lengths, text, text_lengths, **kwargs)
        targets, weights = unpack(kwargs["kd_hyps"], kwargs["kd_hyp_lens"], kwargs["kd_weights"])  # (B, K, L), (B, K)
        encoded, frames = self.encode(speech, speech_lengths)  # (B, S, E), (B,)
        if isinstance(encoded, tuple):
            encoded = encoded[0]
        stats: dict[str, Tensor | None] = {"loss_ctc": None, "loss_att": None, "acc": None}
        loss = encoded.new_zeros(())
        if self.ctc_weight > 0:
            loss_ctc = ctc_loss(self.ctc.ctc_lo(encoded), frames, targets, weights)
            loss = loss + self.ctc_weight * loss_ctc
            stats["loss_ctc"] = loss_ctc.detach()
        if self.ctc_weight < 1:
            ys_in, ys_out = with_sos_eos(targets, self.sos, self.eos)  # (B, K, L + 1) both
            logits = decode_hypotheses(self.decoder, encoded, frames, ys_in, weights)  # (B, K, L + 1, V)
            loss_att = attention_loss(logits, ys_out, weights, self.criterion_att.smoothing)
            loss = loss + (1 - self.ctc_weight) * loss_att
            stats["loss_att"] = loss_att.detach()
            stats["acc"] = accuracy(logits.detach(), ys_out, weights)
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, speech.size(0)), loss.device)


def unpack(flat: Tensor, lens: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Flat hypotheses (B, N), lengths (B, K) and weights (B, K) as padded targets (B, K, L) and weights (B, K)."""
    lens = lens.clamp(min=0)  # (B, K); collation pads with -1
    start = lens.cumsum(1) - lens  # (B, K)
    step = torch.arange(int(lens.max()), device=flat.device)  # (L,)
    place = (start[..., None] + step).clamp(max=flat.size(1) - 1)  # (B, K, L)
    tokens = flat[:, None].expand(-1, lens.size(1), -1).gather(2, place)  # (B, K, L)
    return tokens.masked_fill(step >= lens[..., None], PADDING), weights


def with_sos_eos(targets: Tensor, sos: int, eos: int) -> tuple[Tensor, Tensor]:
    """Targets (B, K, L) as what goes into a decoder and what should come out: (B, K, L + 1) both."""
    lens = (targets != PADDING).sum(-1, keepdim=True)  # (B, K, 1)
    ys_in = torch.nn.functional.pad(targets.masked_fill(targets == PADDING, eos), (1, 0), value=sos)  # (B, K, L + 1)
    ys_out = torch.nn.functional.pad(targets, (0, 1), value=PADDING)  # (B, K, L + 1)
    return ys_in, ys_out.scatter(-1, lens, eos)


def decode_hypotheses(decoder: Any, encoded: Tensor, frames: Tensor, ys_in: Tensor, weights: Tensor) -> Tensor:
    """Logits (B, K, L, V) of any ESPnet decoder for prefixes (B, K, L); those of weight 0 are left zero."""
    if hasattr(decoder, "forward_hypotheses"):
        return decoder.forward_hypotheses(encoded, frames, ys_in, weights > 0)
    used, slot = (weights > 0).nonzero(as_tuple=True)  # (N,), (N,)
    lens = torch.full_like(used, ys_in.size(2))  # (N,); causal decoders: what is behind <eos> does not matter
    flat, _ = decoder(encoded[used], frames[used], ys_in[used, slot], lens)  # (N, L, V)
    logits = flat.new_zeros(*ys_in.shape, flat.size(-1))  # (B, K, L, V)
    logits[used, slot] = flat
    return logits
