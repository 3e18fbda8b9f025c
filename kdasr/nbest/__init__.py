"""N-best archives, and the targets that students train on."""
