"""What serving costs: the served detector against the bare network and against MMDetection."""
