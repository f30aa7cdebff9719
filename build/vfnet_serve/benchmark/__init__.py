"""`vfnet bench-overload`: what a server does that is asked for more than it can do."""
