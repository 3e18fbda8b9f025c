"""What students train on: hypotheses chosen and weighted, references, a teacher's distributions.

Axes, in the comments of this package:

    B  utterances of a batch      L  output steps: tokens and <eos>       V  tokens
    K  hypotheses of each         R  steps of all hypotheses of an utterance, one hypothesis after another
    J  tokens kept of a distribution, most probable first                 S  encoded frames   E  encoder output
"""
