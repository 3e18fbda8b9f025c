"""Batched beam search with ESPnet's semantics."""
