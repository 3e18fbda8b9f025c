"""ESPnet's ASR task extended with distillation, and the networks of the papers."""
