"""A small network, and a corpus with two trained teachers, that tests of language models share."""

import torch

from kdasr.cli import main
from kdasr.lm.model import load
from kdasr.networks.awd import AwdLstm

SMALL = {"embed": 10, "hidden": 16, "last": 12, "layers": 1, "experts": 3}
SET = [f"{name}={value}" for name, value in SMALL.items()]
SET += [f"drop_{kind}=0" for kind in ("input", "hidden", "output", "latent", "embed", "weight")]
# twice this rate, and how well a training ends depends on the seed, or on how a processor rounds: 1.4 to 2.2
SET += ["activation=0", "temporal=0", "streams=3", "steps=6", "rate=4", "clip=1", "patience=4", "epochs=12"]


def network(seed=0):
    """Eleven words, whose distributions are far from even."""
    torch.manual_seed(seed)
    model = AwdLstm(11, **SMALL).eval()
    with torch.no_grad():
        model.embed.weight.mul_(20)
    return model


def lm_train(root, out, *words, settings=()):
    texts = ["--train", str(root / "train.txt"), "--valid", str(root / "valid.txt"), "--words", str(root / "words")]
    return main(["lm", "train", *texts, "--out", str(out), "--set", *SET, *settings, *words])


def weights(directory):
    return load(directory)[0].state_dict()
