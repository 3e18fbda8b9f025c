"""The recipe egs/wsj on minutes of synthetic speech, with tiny networks: real parts all through."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = """
encoder: {encoder}
encoder_conf: {encoder_conf}
decoder: {decoder}
decoder_conf: {decoder_conf}
model_conf: {{ctc_weight: 0.5, lsm_weight: 0.1}}
optim: adam
optim_conf: {{lr: 0.005}}
scheduler: warmuplr
scheduler_conf: {{warmup_steps: 20}}
grad_clip: 5.0
batch_type: numel
batch_bins: 200000
num_iters_per_epoch: 12
max_epoch: 2
num_workers: 0
best_model_criterion: [[valid, acc, max]]
keep_nbest_models: 2
num_att_plot: 0
use_matplotlib: false
use_tensorboard: false
"""
OWN = {
    "encoder": "conv_rnn",
    "encoder_conf": "{hidden_size: 32, num_layers: 1, conv_channels: 4}",
    "decoder": "attention_gru",
    "decoder_conf": "{hidden_size: 32, attention_size: 16}",
}
# Stock ESPnet networks, so that the student here is one that ESPnet can use without kdasr.
STOCK = {
    "encoder": "transformer",
    "encoder_conf": "{output_size: 32, attention_heads: 2, linear_units: 32, num_blocks: 1}",
    "decoder": "rnn",
    "decoder_conf": "{rnn_type: lstm, num_layers: 1, hidden_size: 32, att_conf: {atype: location, adim: 16}}",
}
OPTIONS = [
    "--hours",
    "0.05",
    "--teacher_config",
    "conf/tiny_teacher.yaml",
    "--student_configs",
    "conf/tiny_student.yaml",
    "--fine_tune_configs",
    "conf/tiny_student.yaml",
    "--students",
    "refs pseudo",
    "--beam",
    "2",
    "--ctc_weight",
    "0.3",
    "--nbest",
    "2",
    "--test_sets",
    "test_eval92",
]


def copy_of_recipe(top, recipe="wsj"):
    """A copy of a recipe in `top` that works beside links to the repository's tools and utils."""
    ignore = shutil.ignore_patterns("data", "dump", "exp", "discs")
    directory = top / "egs" / recipe
    shutil.copytree(ROOT / "egs" / recipe, directory, ignore=ignore)
    for name in ("tools", "utils"):
        if not (top / name).exists():
            (top / name).symlink_to(ROOT / name)
    (directory / "conf" / "tiny_teacher.yaml").write_text(TINY.format(**OWN))
    (directory / "conf" / "tiny_student.yaml").write_text(TINY.format(**STOCK))
    return directory


def run(recipe, *options, environment=os.environ, **more):
    """Start the recipe, in a session of its own."""
    # The interpreter that runs the tests is the one that must find kdasr, wherever it was installed.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [str(recipe / "run.sh"), *OPTIONS, *options],
        cwd=recipe,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**environment, "PATH": path},
        **more,
    )


def finish(process):
    """Its output when it has ended well."""
    output, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, output[-4000:]
    return output
