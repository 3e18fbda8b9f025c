"""Recurrent language models: text, network, training, distillation, rescoring."""
