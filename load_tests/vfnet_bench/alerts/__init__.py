"""Whether the alerts ring and fall silent when a server really fails: a real Prometheus, its rules' hours shortened."""
