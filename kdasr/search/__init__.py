"""Batched beam search with ESPnet's semantics.

Axes, in the comments of this package:

    B  utterances, or rows of the grid       T  input frames (or samples)   F  input bins
    K  hypotheses of each (the beam)         S  encoded frames              E  encoder output
    N  ended hypotheses kept (the N-best)    V  tokens                      H  units of a recurrent layer
    X  candidates: next tokens to score      L  tokens of a prefix          J  layers
    P  scorers                               M  models of an ensemble       G  attention heads
    R  different parents, at most            C  convolution channels        A, D  units of an attention head
    U  units of a transformer layer: G * D
"""
