"""Corpora, audio, features and tokens: everything before a network."""
