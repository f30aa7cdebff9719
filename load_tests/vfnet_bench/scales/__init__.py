"""What a checkpoint gains in time and loses in AP where images are resized to less."""
