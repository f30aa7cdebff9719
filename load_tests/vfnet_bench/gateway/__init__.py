"""What the gateway costs: /score against direct gRPC, the network replaced by a no-op."""
