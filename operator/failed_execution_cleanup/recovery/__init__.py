"""The pure core: what the world looks like, what is wrong with it, what may be done next.

Nothing here does I/O, reads a clock or knows a framework. `world` is what was observed, `incident` the failed job and its
relatives, `restore_points` what may be reverted, `guards` why nothing may be done, `plan` what differs from the goal, `decide` the
one entry point: `decide(world, goal, memory) -> Decision`.
"""
