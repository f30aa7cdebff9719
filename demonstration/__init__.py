"""The demonstration checkpoint: how it is made, from rendered scenes and photos to the file and its model card."""
