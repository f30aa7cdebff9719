"""Run the real Triton Inference Server on a built repository, and keep it running."""
