"""What `vfnet serve`, the gateway and their supervisor share to keep each other alive.

`ring` lets each of the three see to it that the supervisor runs; `process_identity` tells a process from a later one of
the same number. The supervisor itself is `vfnet_serve.supervision`. Start reading in `ring`.
"""
