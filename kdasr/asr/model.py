"""ESPnet's models, trained on K weighted hypotheses of each utterance and its teachers' distributions.

    B  utterances   K  hypotheses   L  output steps   V  tokens   T  frames   S  encoded frames
    N  distinct prefixes of the hypotheses (kdasr.networks.prefixes)   J  tokens kept of a teacher's distribution

The audio is encoded once for all K, and the decoder runs once on what hypotheses have in common. A batch
with neither hypotheses nor soft targets (of a teacher, or of a validation set) takes ESPnet's own path, so
the same class trains teachers and students of every kind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kdasr.asr.own_beam import Judged, OwnBeam
from kdasr.asr.settings import TEACHERS_INPUT, Distillation
from kdasr.asr.soft_targets import OnlineTargets, SoftTargets, StoredTargets, matched, places
from kdasr.asr.views import twice
from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.losses.consistency import consistency_loss
from kdasr.losses.risk import risk_loss, whole_scores
from kdasr.losses.sequence import PADDING, accuracy, attention_loss, best_only, ctc_loss, prefix_weights
from kdasr.losses.word import mixed, word_loss
from kdasr.networks.encoder import padding
from kdasr.networks.middle import encode_with_middle
from kdasr.networks.prefixes import decode_prefixes, with_sos_eos
from kdasr.networks.teachers import Teachers, encode

ESPnetASRModel = name("espnet2.asr.espnet_model:ESPnetASRModel")
force_gatherable = name("espnet2.torch_utils.device_funcs:force_gatherable")


class Distilling:
    """What a model of ESPnet's needs to learn from hypotheses and distributions: a mixin, before the model's class.

    The model encodes (`encode`), has a `decoder` and, where its `ctc_weight` is above 0, a `ctc`.
    """

    kd: Distillation
    teachers: tuple[Teachers, ...]  # none or one; a tuple hides it from torch, so that it is no part of the student
    middle: tuple[int, ...] = ()  # layers of the encoder that CTC reads, too (kdasr.asr.task)
    own_beam: tuple[OwnBeam, ...]  # none or one, hidden likewise: its search, where it learns from its own hypotheses
    spell: Callable[[Sequence[int]], str]  # token ids -> text, where it does
    src_token_list: tuple[str, ...] = ()  # of a translation model: what it reads
    cpu_bf16 = False  # whether it trains in bfloat16 on a CPU (kdasr.asr.task)

    @property
    def own_references(self) -> bool:
        """Whether references are learnt by our loss, too, as one hypothesis of weight one."""
        return self.kd.own_loss

    def learn(
        self,
        inputs: Tensor,
        lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        tables: Mapping[str, Tensor],
        stock: Callable[[], Any],
    ) -> Any:
        """Loss, statistics and weight of a batch.

        Args:
            inputs, lengths, text, text_lengths, tables: as `distil` takes them.
            stock: what ESPnet's own model makes of the batch.
        """
        with torch.autocast("cpu", torch.bfloat16, enabled=self.cpu_bf16 and self.training):
            learnt = self.distil(inputs, lengths, text, text_lengths, tables)
            return stock() if learnt is None else learnt

    def distil(
        self, inputs: Tensor, lengths: Tensor, text: Tensor, text_lengths: Tensor, tables: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor | None], Tensor] | None:
        """Loss, statistics and weight of a batch; None for one that ESPnet's own path is for.

        Args:
            inputs, lengths: what is encoded: (B, T, F) features, (B, T) samples or source tokens; and (B,).
            text, text_lengths: (B, L), (B,): references; not used where hypotheses are given.
            tables: as `KDModel.forward` takes them.
        """
        count, two_views = len(inputs), self.kd.cr_weight > 0 and self.training
        if two_views:  # SpecAugment masks them apart (kdasr.asr.views)
            inputs, lengths, text, text_lengths = map(twice, (inputs, lengths, text, text_lengths))
            tables = {name: twice(table) for name, table in tables.items() if isinstance(table, Tensor)}
        if self.kd.soft and self.training and not self.kd.teachers:
            for weight, name in ((self.kd.word_weight, "kd_soft"), (self.kd.ctc_word_weight, "kd_ctc")):
                if weight and name not in tables:
                    raise UserError("kd_conf: learns from distributions, but has neither soft targets nor teachers")
        if "kd_hyps" in tables:
            hyps, lens = tables["kd_hyps"], tables["kd_hyp_lens"].clamp(min=0)  # collation pads with -1
            targets, weights = unpack(hyps, lens), tables["kd_weights"]  # (B, K, L), (B, K)
        elif self.own_references and self.training:
            length = int(text_lengths.max())
            lens, targets = text_lengths[:, None], text[:, None, :length]  # (B, 1), (B, 1, L)
            weights = text_lengths.new_ones(len(text), 1, dtype=torch.float)  # (B, 1)
        else:
            return None
        # before the student encodes: ESPnet normalises features in place
        soft = self.soft_targets(
            tables.get(TEACHERS_INPUT, inputs), tables.get(f"{TEACHERS_INPUT}_lengths", lengths), tables, lens
        )
        own = self.own_hypotheses(inputs, lengths, targets, weights) if self.kd.risk_weight else None
        if self.middle:
            encoded, middle, frames = encode_with_middle(self, inputs, lengths, self.middle)  # (B, S, E), each, (B,)
        else:
            (encoded, frames), middle = encode(self, inputs, lengths), []  # (B, S, E), (B,)
        stats: dict[str, Tensor | None] = {"loss_ctc": None, "loss_att": None, "acc": None}
        loss = encoded.new_zeros(())
        if self.ctc_weight > 0:
            counted = best_only(weights) if self.kd.ctc_hyps == "best" else weights  # (B, K)
            said = soft.frames() if soft is not None and self.kd.ctc_word_weight > 0 else None

            def by_ctc(hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
                """What the CTC branch says of a layer's (B, S, E): logits (B, S, V), the loss, that of frames in it."""
                logits = self.ctc.ctc_lo(hidden)  # (B, S, V)
                loss = ctc_loss(logits, frames, targets, counted)
                if said is None:
                    return logits, loss, None
                of_frames = self.frame_loss(logits, frames, *said)
                return logits, mixed(loss, of_frames, self.kd.ctc_word_weight), of_frames

            ctc_logits, loss_ctc, loss_frames = by_ctc(encoded)
            if loss_frames is not None:
                stats["loss_frames"] = loss_frames.detach()
            if middle:
                loss_middle = torch.stack([by_ctc(hidden)[1] for hidden in middle]).mean()
                loss_ctc = mixed(loss_ctc, loss_middle, self.kd.inter_weight)
                stats["loss_middle"] = loss_middle.detach()
            if two_views:
                loss_views = consistency_loss(ctc_logits, frames)
                loss_ctc = loss_ctc + self.kd.cr_weight * loss_views
                stats["loss_views"] = loss_views.detach()
            loss = loss + self.ctc_weight * loss_ctc
            stats["loss_ctc"] = loss_ctc.detach()
        if self.ctc_weight < 1:
            ys_in, ys_out = with_sos_eos(targets, self.sos, self.eos)  # (B, K, L + 1) both
            used = weights > 0  # (B, K)
            logits, path, place = decode_prefixes(self.decoder, encoded, frames, ys_in, used)
            student_logprobs = torch.log_softmax(logits.float(), -1)  # (N, V)
            loss_att = attention_loss(student_logprobs, path, ys_out, weights, self.criterion_att.smoothing)
            if soft is not None and self.kd.word_weight > 0:
                ids, teacher_logprobs = soft.steps(ys_in, used, place)  # (N, J) both
                counts = prefix_weights(path, weights, len(logits)) / len(weights)  # (N,)
                loss_word = word_loss(logits, ids, teacher_logprobs, counts, self.kd.temperature, self.kd.divergence)
                loss_att = mixed(loss_att, loss_word, self.kd.word_weight)
                stats["loss_word"] = loss_word.detach()
            loss = loss + (1 - self.ctc_weight) * loss_att
            stats["loss_att"] = loss_att.detach()
            stats["acc"] = accuracy(student_logprobs.detach(), path, ys_out, weights)
        if own is not None:
            loss_risk = self.risk(own, encoded, frames)
            loss = mixed(loss, loss_risk, self.kd.risk_weight)
            stats["loss_risk"] = loss_risk.detach()
            stats["own_cost"] = own.costs[:, 0].mean()  # of its best hypotheses: what the risk is to lower
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, count), loss.device)

    def own_hypotheses(self, inputs: Tensor, lengths: Tensor, targets: Tensor, weights: Tensor) -> Judged:
        """What the student's own search finds, as `OwnBeam.judged`."""
        if not self.own_beam:  # made with the first batch, when the model is where it is trained
            self.own_beam = (OwnBeam(self, self.kd, self.spell),)
        return self.own_beam[0].judged(inputs, lengths, targets, weights)

    def risk(self, own: Judged, encoded: Tensor, frames: Tensor) -> Tensor:
        """The risk of the student's own hypotheses, a number.

        Args:
            own: the hypotheses.
            encoded, frames: (B, S, E), (B,).
        """
        ys_in, ys_out = with_sos_eos(own.targets, self.sos, self.eos)  # (B, K, L + 1) both
        logits, path, _ = decode_prefixes(self.decoder, encoded, frames, ys_in, own.used)
        scores = whole_scores(torch.log_softmax(logits.float(), -1), path, ys_out)  # (B, K)
        return risk_loss(scores, own.costs, own.used, self.kd.risk_alpha)

    def soft_targets(
        self, inputs: Tensor, lengths: Tensor, tables: Mapping[str, Tensor], lens: Tensor
    ) -> SoftTargets | None:
        """The teacher's distributions for a batch, None where the settings need none.

        Args:
            inputs, lengths: what teachers beside the student read.
            tables: as `forward` takes them.
            lens: (B, K) lengths of the hypotheses.
        """
        kd = self.kd
        if not kd.soft:
            return None
        if not kd.teachers:
            return StoredTargets(tables, lens)
        if not self.teachers:  # loaded with the first batch
            words = kd.word_weight > 0
            lists = (self.token_list, self.src_token_list)
            self.teachers = (Teachers(kd.teachers, kd.ensemble, kd.ensemble_weights, *lists, words),)
        return OnlineTargets(self.teachers[0], inputs, lengths, kd.soft_k)

    def frame_loss(
        self, logits: Tensor, frames: Tensor, ids: Tensor, teacher_logprobs: Tensor, teacher_frames: Tensor
    ) -> Tensor:
        """The word-level loss of each encoded frame, summed over them, averaged over utterances.

        Args:
            logits: (B, S, V) of the student's CTC branch.
            frames: (B,) valid ones.
            ids, teacher_logprobs: (B, S', J) in each of the teacher's frames.
            teacher_frames: (B,) valid ones.

        Raises:
            UserError: the teacher's frames are not those of this audio, or cannot be matched.
        """
        teacher_frames, frames = teacher_frames.to(logits.device), frames.to(logits.device)  # (B,) both
        most = int(frames.max())
        place = matched(self.kd, frames, teacher_frames, most).unsqueeze(2).expand(-1, -1, ids.size(2))  # (B, S, J)
        counts = (~padding(frames, most)).float() / len(frames)  # (B, S)
        rows = [
            one.flatten(0, 1) for one in (logits[:, :most], ids.gather(1, place), teacher_logprobs.gather(1, place))
        ]
        return word_loss(*rows, counts.flatten(), self.kd.temperature, self.kd.divergence)


class KDModel(Distilling, ESPnetASRModel):
    """ESPnetASRModel whose forward() also takes what `kdasr targets` and `kdasr soft` wrote.

    It is made by re-classing a built ESPnetASRModel (`distilling`), never constructed, and has no weights of
    its own: its checkpoints are those of a stock model.
    """

    def forward(
        self, speech: Tensor, speech_lengths: Tensor, text: Tensor, text_lengths: Tensor, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor | None], Tensor]:
        """Loss, statistics and weight of a batch.

        Args:
            speech: (B, T, F) features, or (B, samples).
            speech_lengths: (B,).
            text, text_lengths: (B, L), (B,): references; not used where hypotheses are given.
            kwargs: kd_hyps (B, .) all hypotheses of an utterance one after the other, kd_hyp_lens
                (B, K) their lengths, kd_weights (B, K) their weights, kd_soft (B, ., 2J) ids and
                log-probabilities of each of their steps, <eos> included; kd_ctc (B, S', 2J) and
                kd_ctc_lengths (B,) those of the CTC branch in each encoded frame; kd_speech and kd_speech_lengths
                what teachers beside the student read, as speech, if that is not speech itself.
        """
        stock = functools.partial(super().forward, speech, speech_lengths, text, text_lengths, **kwargs)
        return self.learn(speech, speech_lengths, text, text_lengths, kwargs, stock)


def distilling(model: Any, kind: type, settings: Distillation) -> Any:
    """A stock model as one of `kind`, a class that mixes Distilling into its own: it trains as the settings say."""
    model.__class__ = kind
    model.kd, model.teachers, model.own_beam = settings, (), ()
    return model


def unpack(flat: Tensor, lens: Tensor) -> Tensor:
    """Flat hypotheses (B, .) and their lengths (B, K) as padded targets (B, K, L)."""
    place, valid = places(lens, int(lens.max()))  # (B, K, L) both
    tokens = flat[:, None].expand(-1, lens.size(1), -1).gather(2, place.clamp(max=flat.size(1) - 1))  # (B, K, L)
    return tokens.masked_fill(~valid, PADDING)
