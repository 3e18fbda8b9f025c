"""Training objectives, each one small function named after its paper."""
