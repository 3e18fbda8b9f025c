"""A training that takes seconds: random features, short texts, a tiny student, K hypotheses an utterance."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))
from target_inputs import TOKENS, write_tokens

from kdasr.cli import main
from kdasr.files import write_json, write_table

BINS, HYPOTHESES = 8, 3
CONFIG = {
    "encoder": "conv_rnn",
    "encoder_conf": {"hidden_size": 8, "num_layers": 2, "conv_channels": 2, "dropout_rate": 0.1},
    "decoder": "attention_gru",
    "decoder_conf": {"hidden_size": 8, "embed_size": 4, "attention_size": 4, "kernel_size": 3, "dropout_rate": 0.1},
    "model_conf": {"ctc_weight": 0.4, "lsm_weight": 0.1},
    "optim": "adam",
    "optim_conf": {"lr": 0.01, "weight_decay": 0.001},
    "scheduler": "warmuplr",
    "scheduler_conf": {"warmup_steps": 10},
    "specaug": "specaug",
    "specaug_conf": {"apply_time_warp": False, "freq_mask_width_range": [0, 3], "time_mask_width_range": [0, 5]},
    "batch_type": "numel",
    "batch_bins": 3200,
    "max_epoch": 3,
    "num_workers": 0,
    "best_model_criterion": [["valid", "acc", "max"]],
    "keep_nbest_models": 2,
    "num_att_plot": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
}


def write_place(root: Path, utterances: int = 24, **changes: object) -> Path:
    """c.yaml, char, train and valid (features, text), targets (K hypotheses), all in `root`."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "c.yaml").write_text(yaml.safe_dump(CONFIG | changes))
    tokens = write_tokens(root / "char")
    random = np.random.default_rng(1)
    for part, count in (("train", utterances), ("valid", 6)):
        write_features(root / part, {f"{part}{i:02d}": int(random.integers(20, 45)) for i in range(count)}, random)
    texts = {f"train{i:02d}": [word(random) for _ in range(HYPOTHESES)] for i in range(utterances)}
    targets = root / "targets"
    targets.mkdir()
    flat = {key: [token for one in hyps for token in one] for key, hyps in texts.items()}
    write_table(targets / "hyps", {key: " ".join(map(str, ids)) for key, ids in flat.items()})
    write_table(targets / "hyp_lens", {key: " ".join(str(len(one)) for one in hyps) for key, hyps in texts.items()})
    write_table(targets / "weights", {key: "0.5 0.3 0.2" for key in texts})
    write_table(targets / "text", {key: "".join(TOKENS[i] for i in hyps[0]) for key, hyps in texts.items()})
    write_json(targets / "targets.json", {"settings": {"tokens": tokens}, "summary": {}})
    return root


def write_features(directory: Path, frames: dict[str, int], random: np.random.Generator) -> None:
    """A feature directory with texts and statistics."""
    directory.mkdir()
    matrices = {key: random.standard_normal((count, BINS)).astype(np.float32) for key, count in frames.items()}
    kaldiio.save_ark(str(directory / "feats.ark"), matrices, scp=str(directory / "feats.scp"))
    write_table(directory / "utt2num_frames", {key: str(count) for key, count in frames.items()})
    write_table(directory / "text", {key: "".join(TOKENS[i] for i in word(random)) for key in frames})
    every = np.concatenate(list(matrices.values()))  # (T, F)
    np.savez(directory / "cmvn.npz", count=len(every), sum=every.sum(0), sum_square=(every**2).sum(0))


def word(random: np.random.Generator) -> list[int]:
    """Token ids: one to five letters."""
    return random.integers(3, len(TOKENS) - 1, int(random.integers(1, 6))).tolist()


def words(root: Path, out: Path, *more: object) -> list[str]:
    """The words of a `kdasr train` on targets."""
    given = ["--config", root / "c.yaml", "--train", root / "train", "--valid", root / "valid"]
    given += ["--tokens", root / "char", "--targets", root / "targets", "--out", out, "--role", "student", *more]
    return ["train", *map(str, given)]


def train(root: Path, out: Path, *more: object) -> int:
    """`kdasr train` in this process; its exit status."""
    return main(words(root, out, *more))


def build(**changes: Any) -> Any:
    """The student of CONFIG in training mode, but nothing random in it, and no statistics over a batch."""
    from kdasr.asr.task import KDTask

    args = vars(KDTask.get_parser().parse_args([]))
    args |= CONFIG | {"token_list": TOKENS, "input_size": BINS, "normalize": None, "specaug": None} | changes
    for part in ("encoder_conf", "decoder_conf"):
        args[part] = args[part] | {"dropout_rate": 0.0}
    torch.manual_seed(0)
    model = KDTask.build_model(argparse.Namespace(**args)).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
            module.train = lambda mode=True, module=module: module  # ESPnet's trainer calls it
    return model


def batch_of(utterances: int, seed: int = 3) -> dict[str, torch.Tensor]:
    """A collated batch with K hypotheses an utterance, as ESPnet gives it to the model."""
    random = np.random.default_rng(seed)
    frames = torch.from_numpy(random.integers(20, 45, utterances))  # (B,)
    hyps = [[word(random) for _ in range(HYPOTHESES)] for _ in range(utterances)]
    flat = [torch.tensor([token for one in row for token in one]) for row in hyps]
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "speech": torch.from_numpy(random.standard_normal((utterances, int(frames.max()), BINS)).astype(np.float32)),
        "speech_lengths": frames,
        "text": torch.full((utterances, 1), 3),
        "text_lengths": torch.ones(utterances, dtype=torch.long),
        "kd_hyps": pad(flat, batch_first=True, padding_value=-1),  # (B, .)
        "kd_hyp_lens": torch.tensor([[len(one) for one in row] for row in hyps]),  # (B, K)
        "kd_weights": torch.tensor([[0.5, 0.3, 0.2]] * utterances),  # (B, K)
    }


def rows(batch: dict[str, torch.Tensor], first: int, last: int) -> dict[str, torch.Tensor]:
    """Some utterances of a batch, padded as they would be alone."""
    part = {key: value[first:last] for key, value in batch.items()}
    part["speech"] = part["speech"][:, : int(part["speech_lengths"].max())]
    part["kd_hyps"] = part["kd_hyps"][:, : int(part["kd_hyp_lens"].sum(1).max())]
    return part


def epoch(model: Any, batches: list[dict[str, torch.Tensor]], whole: Any = None, **changes: Any) -> None:
    """ESPnet's own train_one_epoch over these batches, with SGD of learning rate 1.

    Args:
        model: whose weights are moved.
        batches: as `batch_of` gives them.
        whole: what is called with a batch instead of the model: the model in DistributedDataParallel.
        changes: ESPnet's options that differ from its defaults.
    """
    from espnet2.train.distributed_utils import DistributedOption
    from espnet2.train.reporter import Reporter

    from kdasr.asr.task import KDTask

    args = KDTask.get_parser().parse_args([])
    options = dataclasses.replace(KDTask.trainer.build_options(args), grad_clip=1e9, **changes)
    scaler = torch.cuda.amp.GradScaler() if options.use_amp else None  # as in Trainer.run
    reporter = Reporter()
    reporter.set_epoch(1)
    with reporter.observe("train") as observed:
        KDTask.trainer.train_one_epoch(
            model=whole or model,
            iterator=[(["u"] * len(batch["speech"]), dict(batch)) for batch in batches],
            optimizers=[torch.optim.SGD(model.parameters(), lr=1.0)],
            schedulers=[None],
            scaler=scaler,
            reporter=observed,
            summary_writer=None,
            options=options,
            distributed_option=DistributedOption(distributed=whole is not None),
        )
