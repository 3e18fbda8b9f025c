"""A trained model as files that run without torch: graphs (ONNX), tokens, settings and a card, in one bundle.

kdasr.runtime reads what this package writes. Axes, in the comments of both:

    T  input frames (or samples, or source tokens)     F  input bins
    S  encoded frames              E  encoder output
    K  hypotheses                  X  candidates       V  tokens            L  tokens of a prefix
    H  units of a recurrent layer  J  layers           A  attention units   G  attention heads, of D units each
    C  channels                    U  units of a transformer's layer, G * D

A graph takes one utterance, or one sentence. What is here of networks computes what the networks themselves compute,
from their own modules and weights, but without padding, masks and anything that depends on the data in Python, which a
graph cannot hold.
"""
