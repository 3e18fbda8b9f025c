"""Models made smaller by structure: fewer units, fewer layers, maps of low rank; dense, and as fast as their size.

Axes, in the comments of this package:

    N  units of a group (an encoder's hidden units, one layer's feed-forward units)   n  of these, those that stay
    I  numbers that a map reads      i  those of them that stay      O  numbers that it writes      R  rank
"""
