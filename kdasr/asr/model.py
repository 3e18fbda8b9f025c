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

from kdasr.asr.encoder import padding
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
                log-probabilities of each of their steps, <eos> included; kd_ctc (B, S', 2J) and
                kd_ctc_lengths (B,) those of the CTC branch in each encoded frame.
        """
        if self.kd.soft and self.training and not self.kd.teachers:
            for weight, name in ((self.kd.word_weight, "kd_soft"), (self.kd.ctc_word_weight, "kd_ctc")):
                if weight and name not in kwargs:
                    raise UserError("kd_conf: learns from distributions, but has neither soft targets nor teachers")
        if "kd_hyps" in kwargs:
            hyps, lens = kwargs["kd_hyps"], kwargs["kd_hyp_lens"].clamp(min=0)  # collation pads with -1
            targets, weights = unpack(hyps, lens), kwargs["kd_weights"]  # (B, K, L), (B, K)
        elif self.kd.soft and self.training:
            length = int(text_lengths.max())
            lens, targets = text_lengths[:, None], text[:, None, :length]  # (B, 1), (B, 1, L)
            weights = text_lengths.new_ones(len(text), 1, dtype=torch.float)  # (B, 1)
        else:
            return super().forward(speech, speech_lengths, text, text_lengths, **kwargs)
        # first the teachers: ESPnet normalises features in place
        heard = self.ask(speech, speech_lengths) if self.kd.soft and self.kd.teachers else []
        encoded, frames = encode(self, speech, speech_lengths)  # (B, S, E), (B,)
        stats: dict[str, Tensor | None] = {"loss_ctc": None, "loss_att": None, "acc": None}
        loss = encoded.new_zeros(())
        if self.ctc_weight > 0:
            counted = best_only(weights) if self.kd.ctc_hyps == "best" else weights  # (B, K)
            by_frame = self.ctc.ctc_lo(encoded)  # (B, S, V)
            loss_ctc = ctc_loss(by_frame, frames, targets, counted)
            if self.kd.ctc_word_weight > 0:
                if heard:
                    soft = most_probable(self.teachers[0].frames(heard), self.kd.soft_k)  # (B, S', J) both
                    theirs = heard[0][1]  # (B,)
                else:
                    soft = read_rows(kwargs["kd_ctc"])  # (B, S', J) both
                    theirs = kwargs["kd_ctc_lengths"]  # (B,)
                loss_frames = self.frame_loss(by_frame, frames, *soft, theirs)
                loss_ctc = mixed(loss_ctc, loss_frames, self.kd.ctc_word_weight)
                stats["loss_frames"] = loss_frames.detach()
            loss = loss + self.ctc_weight * loss_ctc
            stats["loss_ctc"] = loss_ctc.detach()
        if self.ctc_weight < 1:
            ys_in, ys_out = with_sos_eos(targets, self.sos, self.eos)  # (B, K, L + 1) both
            used = weights > 0  # (B, K)
            logits, path, place = decode_prefixes(self.decoder, encoded, frames, ys_in, used)
            logp = torch.log_softmax(logits.float(), -1)  # (N, V)
            loss_att = attention_loss(logp, path, ys_out, weights, self.criterion_att.smoothing)
            if self.kd.word_weight > 0:
                if heard:
                    soft = most_probable(self.teachers[0].after(heard, ys_in, used, place), self.kd.soft_k)
                else:
                    rows = unpack_rows(kwargs["kd_soft"], lens + 1, ys_in.size(2))  # (B, K, L + 1, 2J)
                    soft = read_rows(rows.flatten(0, 2)[place])  # (N, J) both
                counts = prefix_weights(path, weights, len(logits)) / len(weights)  # (N,)
                loss_word = word_loss(logits, *soft, counts, self.kd.temperature, self.kd.divergence)
                loss_att = mixed(loss_att, loss_word, self.kd.word_weight)
                stats["loss_word"] = loss_word.detach()
            loss = loss + (1 - self.ctc_weight) * loss_att
            stats["loss_att"] = loss_att.detach()
            stats["acc"] = accuracy(logp.detach(), path, ys_out, weights)
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, speech.size(0)), loss.device)

    def ask(self, speech: Tensor, lengths: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What each teacher encodes of a batch; they are loaded when they are first asked."""
        if not self.teachers:
            kd = self.kd
            self.teachers = (Teachers(kd.teachers, kd.ensemble, kd.ensemble_weights, self.token_list),)
        return self.teachers[0].listen(speech, lengths)

    def frame_loss(self, logits: Tensor, frames: Tensor, ids: Tensor, logq: Tensor, theirs: Tensor) -> Tensor:
        """The word-level loss of each encoded frame, summed over them, averaged over utterances.

        Args:
            logits: (B, S, V) of the CTC branch.
            frames: (B,) valid ones.
            ids, logq: (B, S', J) the teacher's.
            theirs: (B,) valid ones, as many as the student's.
        """
        theirs, frames = theirs.to(logits.device), frames.to(logits.device)  # (B,) both
        if not torch.equal(theirs, frames):
            b = int((theirs != frames).nonzero()[0])
            raise UserError(
                f"ctc_word_weight: the teacher encodes {int(theirs[b])} frames where the student has {int(frames[b])}; "
                "they need the same frame rate, or ctc_word_weight 0"
            )
        most = int(frames.max())  # padding may differ
        logits = logits[:, :most]  # (B, S, V)
        counts = (~padding(frames, most)).float() / len(frames)  # (B, S)
        rows = logits.flatten(0, 1), ids[:, :most].flatten(0, 1), logq[:, :most].flatten(0, 1)  # (B S, .)
        return word_loss(*rows, counts.flatten(), self.kd.temperature, self.kd.divergence)


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


def read_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Token ids (..., J) and log-probabilities (..., J) of stored soft targets (..., 2J)."""
    values, logq = rows.chunk(2, -1)
    return values.long(), logq


def places(lens: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Where each step of each hypothesis stands among all of its utterance, and whether it is one: (B, K, steps)."""
    step = torch.arange(steps, device=lens.device)  # (steps,)
    start = lens.cumsum(1) - lens  # (B, K)
    return start[..., None] + step, step < lens[..., None]
