"""What a batch costs beside the server it asks: throughput, memory, and the ledger."""
