"""Photo-like scenes of the demonstration classes, rendered by ray casting, with exact ground truth."""
