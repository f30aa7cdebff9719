"""The `vfnet` command of the whole project: what it can do beyond the thin client's own commands.

`command_table` lists it; each command is a module of `commands` that is imported when it is chosen. Start there.
"""
