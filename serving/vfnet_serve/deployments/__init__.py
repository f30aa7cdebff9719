"""Models that change while they are served.

`vfnet deploy` says in a file what it wants (`wanted`). `vfnet serve`, which knows what it serves (`served_models`),
loads, turns and unloads until that is so (`reconciling`), and says how far it is in another file (`served_state`).
"""
