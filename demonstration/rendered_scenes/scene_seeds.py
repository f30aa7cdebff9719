"""Numbers of the first rendered scene of each kind; apart, so that no scene is in both."""

TRAINING_SEED = 1000
VALIDATION_SEED = 1_000_000
