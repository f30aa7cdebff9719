"""What `vfnet up` leaves running: a supervisor that keeps `vfnet serve` and `vfnet gateway` alive.

The three form a ring: the supervisor starts again what ends, and both others start a supervisor again that is gone
(`vfnet_supervision.ring`). Whoever of them survives brings the others back, from one file that says what should
run (`wanted`). A new supervisor takes over what still runs, and does not start it twice (`marked_processes`).

Why ours: supervisord and circus restart what they started, but nothing restarts *them*, and after a restart of their
own they know nothing of what still runs. systemd does both, but needs a manager that containers and many accounts do
not have. And none of them kills what a killed `vfnet serve` leaves on the ports (Triton), or tells a start that can
never succeed, which `vfnet up` is to say at once, from an end that a restart heals.
"""
