"""Scoring as sclite does it.

Axes, in the comments of this package:

    B  utterances of a batch      N  words (characters, arcs) of the reference   M  those of the hypothesis
    U  utterances of a set        R  resamples of the bootstrap                  T  steps of all utterances
    K  distinct steps             S  encoded frames   E  encoder output          L  tokens and <eos>   V  tokens
"""
