"""Servers that come and go by a rule, simulated: what the rule of the Helm chart does with a day, a burst, a lost zone.

In: what a server was measured to do, a rule, a traffic. Out: refusals, latencies, server hours and pictures of them.
`simulated_service` is the queue, `scaling_rule` the autoscaler's arithmetic, `traffic` who asks when, `scenarios` puts
the three together, and `real_servers` holds the first against servers that run. Start reading in `scenarios`.
"""
