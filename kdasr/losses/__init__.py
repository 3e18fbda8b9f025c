"""Training objectives, each one small function named after its paper.

Axes, in the comments of this package:

    B  utterances       K  hypotheses of each   L  output steps   S  encoded frames
    R  rows, one distribution each              V  tokens, words or classes
    N  distinct prefixes of the hypotheses      J  tokens that a distribution is kept for
    M  teachers, or specialists                 C  special classes of a specialist
"""

# What options may name, here so that a command's --help need not import torch.
DIVERGENCES = ("kl", "reverse_kl", "js", "tv")  # kdasr.losses.divergences
MEANS = ("arithmetic", "geometric")  # kdasr.losses.ensemble
COSTS = ("words", "bleu")  # kdasr.losses.risk, of kdasr.asr.own_beam
OBJECTIVES = ("ce", "kl", "fixed", "constant", "trust", "adaptive", "conditional")  # kdasr.losses.trust
