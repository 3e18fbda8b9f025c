"""Training objectives, each one small function named after its paper."""

# What options may name, here so that a verb's --help need not import torch.
DIVERGENCES = ("kl", "reverse_kl", "js", "tv")  # kdasr.losses.divergences
MEANS = ("arithmetic", "geometric")  # kdasr.losses.ensemble
OBJECTIVES = ("ce", "kl", "fixed", "constant", "trust", "adaptive", "conditional")  # kdasr.losses.trust
