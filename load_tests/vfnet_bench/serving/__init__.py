"""`vfnet bench overload` and `vfnet bench mixed`: a server asked for more than it can do, and for many shapes."""
