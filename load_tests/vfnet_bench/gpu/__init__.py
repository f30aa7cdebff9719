"""What a GPU makes of the `torch` engine, measured in one run of a few minutes: `vfnet bench gpu`.

It needs no installation of this project and no network: torch, and for the served part Triton's wheel beside it.
"""
