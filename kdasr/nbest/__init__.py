"""N-best archives: written by a search, checked, read, exported; and the best hypotheses as ESPnet's results."""
