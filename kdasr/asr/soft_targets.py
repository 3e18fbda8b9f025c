"""The teacher's distributions for a batch: read from the tables of `kdasr soft`, or computed by teachers now.

B  utterances   K  hypotheses of each   L  output steps   V  tokens   T  frames   S  encoded frames
N  distinct prefixes of the hypotheses (kdasr.networks.prefixes)   J  tokens kept of a teacher's distribution
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from kdasr.asr.settings import Distillation
from kdasr.errors import UserError
from kdasr.losses.word import most_probable
from kdasr.networks.teachers import Teachers
from kdasr.targets.frame_times import FrameTimes, far_apart, nearest


class SoftTargets(Protocol):
    """The teacher's distributions, which a student learns from besides its hypotheses."""

    def steps(self, ys_in: Tensor, used: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """After each prefix: token ids (N, J) and the teacher's log-probabilities (N, J).

        Args:
            ys_in: (B, K, L) hypotheses, <sos> first, PADDING behind.
            used: (B, K) which of them count.
            place: (N,) a step behind each prefix, as an index in (B * K * L).
        """

    def frames(self) -> tuple[Tensor, Tensor, Tensor]:
        """In each of the teacher's frames, by CTC: token ids and log-probabilities (B, S, J), and valid frames (B,)."""


class StoredTargets:
    """Soft targets among the data, which `kdasr soft` wrote."""

    def __init__(self, tables: Mapping[str, Tensor], lens: Tensor) -> None:
        """Take a batch's tables.

        Args:
            tables: kd_soft, kd_ctc and kd_ctc_lengths, as `KDModel.forward` gets them.
            lens: (B, K) lengths of the hypotheses, without <eos>.
        """
        self.tables, self.lens = tables, lens

    def steps(self, ys_in: Tensor, used: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """As `SoftTargets.steps`."""
        rows = unpack_rows(self.tables["kd_soft"], self.lens + 1, ys_in.size(2))  # (B, K, L, 2J)
        return read_rows(rows.flatten(0, 2)[place])

    def frames(self) -> tuple[Tensor, Tensor, Tensor]:
        """As `SoftTargets.frames`."""
        return *read_rows(self.tables["kd_ctc"]), self.tables["kd_ctc_lengths"]


class OnlineTargets:
    """Soft targets of teachers that run beside the student: nothing is stored, and no token has to be left out."""

    def __init__(self, teachers: Teachers, speech: Tensor, lengths: Tensor, kept: int) -> None:
        """Encode a batch.

        Args:
            teachers: which ones.
            speech: (B, T, F) features, or (B, T) samples.
            lengths: (B,).
            kept: J; 0: all tokens.
        """
        self.teachers, self.kept = teachers, kept
        self.encoded = teachers.encode_batch(speech, lengths)

    def steps(self, ys_in: Tensor, used: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """As `SoftTargets.steps`."""
        return most_probable(self.teachers.step_logprobs(self.encoded, ys_in, used, place), self.kept)

    def frames(self) -> tuple[Tensor, Tensor, Tensor]:
        """As `SoftTargets.frames`."""
        return *most_probable(self.teachers.frame_logprobs(self.encoded), self.kept), self.encoded[0][1]


def matched(kd: Distillation, frames: Tensor, teacher_frames: Tensor, most: int) -> Tensor:
    """The teacher's frame for each frame of the student (kdasr.targets.frame_times): (B, S), valid ones everywhere.

    Args:
        kd: says when the frames of both are, if it is known.
        frames, teacher_frames: (B,) valid ones of both.
        most: S.

    Raises:
        UserError: the teacher's frames are of other audio, or, where times are not known, are not as many.
    """
    frame = torch.arange(most, device=frames.device).expand(len(frames), -1)  # (B, S)
    if kd.teacher_frames and kd.student_frames:
        teacher, student = FrameTimes(*kd.teacher_frames), FrameTimes(*kd.student_frames)
        far = far_apart(teacher, student, teacher_frames - 1, frames - 1)  # (B,)
        if far.any():
            b = int(far.nonzero()[0])
            raise UserError(
                f"ctc_word_weight: the teacher's frames ({int(teacher_frames[b])}, {teacher}) and the student's "
                f"({int(frames[b])}, {student}) are of audio of different lengths; make the soft targets again (kdasr "
                "soft), of the data that the student trains on"
            )
        frame = nearest(teacher, student, frame)  # (B, S)
    elif not torch.equal(teacher_frames, frames):
        b = int((teacher_frames != frames).nonzero()[0])
        raise UserError(
            f"ctc_word_weight: the teacher encodes {int(teacher_frames[b])} frames where the student has "
            f"{int(frames[b])}; they need the same frame rate, or ctc_word_weight 0"
        )
    return frame.minimum(teacher_frames[:, None] - 1).clamp(min=0)


def unpack_rows(flat: Tensor, lens: Tensor, steps: int) -> Tensor:
    """Flat rows (B, ., D) of hypotheses of `lens` (B, K) rows as padded ones (B, K, `steps`, D), anything behind."""
    place, _ = places(lens, steps)  # (B, K, L)
    batch = torch.arange(len(flat), device=flat.device)[:, None, None]  # (B, 1, 1)
    return flat[batch, place.clamp(max=flat.size(1) - 1)]


def read_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Token ids (..., J) and log-probabilities (..., J) of stored soft targets (..., 2J)."""
    ids, teacher_logprobs = rows.chunk(2, -1)
    return ids.long(), teacher_logprobs


def places(lens: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Where each step of each hypothesis stands among all of its utterance, and whether it is one: (B, K, steps)."""
    step = torch.arange(steps, device=lens.device)  # (steps,)
    start = lens.cumsum(1) - lens  # (B, K)
    return start[..., None] + step, step < lens[..., None]
