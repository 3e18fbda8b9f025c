"""Magnitude pruning, and weights that stay pruned while the rest is trained on."""
