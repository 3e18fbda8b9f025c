"""Scoring as sclite does it."""
