"""ESPnet's CTC/attention model, trained on K weighted hypotheses of each utterance and its teachers' distributions.

    B  utterances   K  hypotheses   L  output steps   V  tokens   T  frames   S  encoded frames
    N  distinct prefixes of the hypotheses (kdasr.asr.prefixes)   J  tokens kept of a teacher's distribution

The audio is encoded once for all K, and the decoder runs once on what hypotheses have in common. A batch
with neither hypotheses nor soft targets (of a teacher, or of a validation set) takes ESPnet's own path, so
the same class trains teachers, students and controls.
"""

from __future__ import annotations

from typing import Any

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.device_funcs import force_gatherable
from torch import Tensor

from kdasr.asr.prefixes import decode_prefixes, with_sos_eos
from kdasr.asr.settings import Distillation
from kdasr.asr.teachers import Teachers, encode
from kdasr.errors import UserError
from kdasr.losses.sequence import PADDING, accuracy, attention_loss, best_only, ctc_loss, prefix_weights
from kdasr.losses.word import mixed, most_probable, word_loss


class KDModel(ESPnetASRModel):
    """ESPnetASRModel whose forward() also takes what `kdasr targets` and `kdasr soft` wrote.

    It is made by re-classing a built ESPnetASRModel (`distilling`), never constructed, and has no weights of
    its own: its checkpoints are those of a stock model.
    """

    kd: Distillation
    teachers: tuple[Teachers, ...]  # none or one; in a tuple, so that it is no module of the student

    def forward(
        self, speech: Tensor, speech_lengths: Tensor, text: Tensor, text_lengths: Tensor, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor | None], Tensor]:
        """Loss, statistics and weight of a batch.

        Args:
            speech: (B, T, F) features, or (B, samples).
            speech_lengths: (B,).
            text, text_lengths: (B, L), (B,): references; not looked at where hypotheses are given.
            kwargs: kd_hyps (B, .) all hypotheses of an utterance one after the other, kd_hyp_lens
                (B, K) their lengths, kd_weights (B, K) their weights, kd_soft (B, ., 2J) ids and
                log-probabilities of each of their steps, <eos> included.
        """
        if "kd_hyps" in kwargs:
            hyps, lens = kwargs["kd_hyps"], kwargs["kd_hyp_lens"].clamp(min=0)  # collation pads with -1
            targets, weights = unpack(hyps, lens), kwargs["kd_weights"]  # (B, K, L), (B, K)
        elif self.kd.soft and self.training:
            length = int(text_lengths.max())
            lens, targets = text_lengths[:, None], text[:, None, :length]  # (B, 1), (B, 1, L)
            weights = text_lengths.new_ones(len(text), 1, dtype=torch.float)  # (B, 1)
        else:
            return super().forward(speech, speech_lengths, text, text_lengths, **kwargs)
        encoded, frames = encode(self, speech, speech_lengths)  # (B, S, E), (B,)
        stats: dict[str, Tensor | None] = {"loss_ctc": None, "loss_att": None, "acc": None}
        loss = encoded.new_zeros(())
        if self.ctc_weight > 0:
            counted = best_only(weights) if self.kd.ctc_hyps == "best" else weights  # (B, K)
            loss_ctc = ctc_loss(self.ctc.ctc_lo(encoded), frames, targets, counted)
            loss = loss + self.ctc_weight * loss_ctc
            stats["loss_ctc"] = loss_ctc.detach()
        if self.ctc_weight < 1:
            ys_in, ys_out = with_sos_eos(targets, self.sos, self.eos)  # (B, K, L + 1) both
            used = weights > 0  # (B, K)
            logits, path, place = decode_prefixes(self.decoder, encoded, frames, ys_in, used)
            logp = torch.log_softmax(logits.float(), -1)  # (N, V)
            loss_att = attention_loss(logp, path, ys_out, weights, self.criterion_att.smoothing)
            if self.kd.soft:
                if "kd_soft" in kwargs:
                    rows = unpack_rows(kwargs["kd_soft"], lens + 1, ys_in.size(2))  # (B, K, L + 1, 2J)
                    values, logq = rows.flatten(0, 2)[place].chunk(2, -1)  # (N, J), (N, J)
                    ids = values.long()  # (N, J)
                else:
                    ids, logq = most_probable(self.ask(speech, speech_lengths, ys_in, used, place), self.kd.soft_k)
                counts = prefix_weights(path, weights, len(logits)) / len(weights)  # (N,)
                loss_word = word_loss(logits, ids, logq, counts, self.kd.temperature, self.kd.divergence)
                loss_att = mixed(loss_att, loss_word, self.kd.word_weight)
                stats["loss_word"] = loss_word.detach()
            loss = loss + (1 - self.ctc_weight) * loss_att
            stats["loss_att"] = loss_att.detach()
            stats["acc"] = accuracy(logp.detach(), path, ys_out, weights)
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, speech.size(0)), loss.device)

    def ask(self, speech: Tensor, lengths: Tensor, ys_in: Tensor, used: Tensor, place: Tensor) -> Tensor:
        """The teachers' log-probabilities (N, V), of models that are loaded when they are first asked."""
        if not self.teachers:
            kd = self.kd
            if not kd.teachers:
                raise UserError("kd_conf: word_weight needs soft targets (kdasr soft) or teachers; there are neither")
            self.teachers = (Teachers(kd.teachers, kd.ensemble, kd.ensemble_weights, self.token_list),)
        return self.teachers[0].log_probabilities(speech, lengths, ys_in, used, place)


def distilling(model: ESPnetASRModel, settings: Distillation) -> KDModel:
    """A stock model, which now trains as the settings say."""
    model.__class__ = KDModel
    model.kd, model.teachers = settings, ()
    return model  # type: ignore[return-value]


def unpack(flat: Tensor, lens: Tensor) -> Tensor:
    """Flat hypotheses (B, .) and their lengths (B, K) as padded targets (B, K, L)."""
    place, valid = places(lens, int(lens.max()))  # (B, K, L) both
    tokens = flat[:, None].expand(-1, lens.size(1), -1).gather(2, place.clamp(max=flat.size(1) - 1))  # (B, K, L)
    return tokens.masked_fill(~valid, PADDING)


def unpack_rows(flat: Tensor, lens: Tensor, steps: int) -> Tensor:
    """Flat rows (B, ., D) of hypotheses of `lens` (B, K) rows as padded ones (B, K, `steps`, D), anything behind."""
    place, _ = places(lens, steps)  # (B, K, L)
    batch = torch.arange(len(flat), device=flat.device)[:, None, None]  # (B, 1, 1)
    return flat[batch, place.clamp(max=flat.size(1) - 1)]


def places(lens: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Where each step of each hypothesis stands among all of its utterance, and whether it is one: (B, K, steps)."""
    step = torch.arange(steps, device=lens.device)  # (steps,)
    start = lens.cumsum(1) - lens  # (B, K)
    return start[..., None] + step, step < lens[..., None]
