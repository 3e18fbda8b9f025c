"""kdasr: make large attention-based speech recognisers small, by knowledge distillation."""

__version__ = "0.1.0"
