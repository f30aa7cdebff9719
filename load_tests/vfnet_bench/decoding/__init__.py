"""What decoding and resizing an image take, and what of it a faster decoder saves."""
