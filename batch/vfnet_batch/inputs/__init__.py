"""What can be given as INPUT, and the lines of `inputs.jsonl` it stands for."""
