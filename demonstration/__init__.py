"""How the demonstration checkpoint is made: scenes are rendered, a network is trained, judged and described.

`python -m demonstration --photos … --backbone … --output …` does it all; start reading in `recipe`. Not installed: the
product needs only the checkpoint and the pictures in `vfnet_model/checkpoints/demonstration`, which
`shipped_pictures` writes.
"""
