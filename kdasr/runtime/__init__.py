"""What runs a bundle: audio or text in, text out. It needs numpy, onnxruntime and soundfile, not torch or ESPnet.

kdasr.export writes what this package reads; its __init__.py says what the axes are. Search and CTC are those of
kdasr.search, for one utterance, in numpy: the same candidates, limits and ends, so the same hypotheses.
"""
