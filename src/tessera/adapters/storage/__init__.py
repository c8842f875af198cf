"""Where everything lasting is kept: one folder per database, each implementing the ports `Storage` and
`Administration`, and what they do alike: `ledger/`, `money/`, `people/`.

Always holds: what a verb reported as done survives a crash; money decisions come from `domain/ledger`, and the
database's own constraints repeat them.
"""
