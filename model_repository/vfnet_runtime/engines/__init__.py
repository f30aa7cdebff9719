"""What computes the network: OpenVINO on CPUs, PyTorch on GPUs and CPUs."""
