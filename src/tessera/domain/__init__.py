"""The rules: pure, synchronous, no I/O.

Owns what money, tokens, prices, dialects and the ledger mean. Always holds: no float, no clock, no file,
no socket; everything a function needs is an argument, and the same arguments give the same answer.
"""
