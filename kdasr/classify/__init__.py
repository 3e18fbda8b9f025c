"""Networks that tell classes apart, of images or of frames of speech, and how they learn.

Axes, in the comments of this package:

    N  examples      B  examples of a batch   P  numbers of one example
    C  classes       H  units of a layer      S  special classes of a specialist; its dustbin stands last
"""
