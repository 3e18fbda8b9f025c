"""kdasr's networks, outputs of any by prefixes, and how trained ones are loaded; needs torch and ESPnet.

Axes, in the comments of this package:

    B  utterances (or streams) of a batch    T  input frames (or samples)   F  input bins
    K  hypotheses of each                    S  encoded frames              E  encoder size, or embedding
    L  output steps: tokens and <eos>        V  tokens, or words            H  hidden units
    N  distinct prefixes, over the batch     P  prefixes of an utterance    D  units of a transformer layer
    R  rows: hypotheses one after another,   M  teachers                    A  attention units
    J  tokens kept of a distribution         C  convolution channels        W  taps of the location kernel
    n  prefixes of one length                X  experts, of a mixture of softmaxes
"""

from kdasr import espnet

espnet.prepare()
