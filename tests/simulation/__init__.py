"""The money simulation: the real application and the real SQL under a clock, a scheduler, providers, clients and a disk
that one seed decides.

Always holds: one thread; nothing here reads the machine's clock or randomness; the same seed gives the same trace.
"""
