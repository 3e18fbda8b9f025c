"""ESPnet's ASR task extended with distillation, and its trainer.

Axes, in the comments of this package:

    B  utterances of a batch                 T  input frames (or samples)   F  input bins
    K  hypotheses of each                    S  encoded frames              E  encoder size
    L  output steps: tokens and <eos>        V  tokens                      N  distinct prefixes, over the batch
    R  rows: hypotheses one after another    M  teachers                    J  tokens kept of a distribution
"""
