"""Corpora, audio, features and tokens: everything before a network.

Axes, in the comments of this package:

    T  frames of an utterance     F  bins of a frame     W  samples of a window   H  samples from window to window
    N  points of the FFT          n  samples
"""
