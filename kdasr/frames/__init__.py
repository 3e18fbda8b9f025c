"""Framewise acoustic models: the experiments of Hinton, Vinyals and Dean 2015, sections 4 and 5.

Axes, in the comments of this package:

    N  frames of all utterances              T  frames of an utterance      B  frames of a batch
    M  rows of features.npy                  W  frames of a window          F  bins
    C  HMM states, the classes               S  encoded frames              V  tokens
    L  tokens of a transcript                U  states of a CTC path        P  positions in a token
    Y, Z, K  the token before last, the last one, the next one
"""
