"""Hypotheses of other systems: read in the form that these write, normalised on request, written as an N-best archive.

A system's lists are {utterance: [Heard, ...]}, best first (kdasr.outside.heard).
"""

FORMATS = ("kaldi", "espnet", "whisper", "jsonl", "text")
