"""Recurrent language models: text, network, training, distillation, rescoring.

Axes, in the comments of this package:

    B  streams of text, or hypotheses        V  words                       E  embedding
    L  words of a stream                     T  words of a piece, or of a hypothesis
    N  positions (B * T, or some of them), or nodes of a trie               H  units of a layer
    G  edges of a trie                       J  words kept of a distribution, or layers of an ESPnet model
    R  hypotheses of all utterances          U  utterances                  K  experts
    M  networks                              n  rows of a slice
"""
