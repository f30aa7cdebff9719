"""How fast training is, beside MMDetection."""
