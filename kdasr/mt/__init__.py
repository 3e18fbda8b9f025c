"""ESPnet's MT task extended with distillation, and what a translation model reads: source text, as tokens.

A translation model is trained, decoded and distilled by the same code as a recogniser; here is what differs. Axes, in
the comments of this package:

    B  sentences of a batch   T  source tokens   L  output steps: tokens and <eos>   V  target tokens
"""
