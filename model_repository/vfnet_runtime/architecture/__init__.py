"""VFNet (VarifocalNet, arXiv:2008.13367) in plain torch, with MMDetection 2.x parameter names."""
