"""Networks that tell classes apart, of images or of frames of speech, and how they learn."""
