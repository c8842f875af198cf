"""What the ledger decides: who may hold how much, and what a hold's one resolution moves.

Always holds: amounts are integers within 63 bits; a hold is granted in whole or refused by name (with Fit, granted
between a minimum and a maximum); it is resolved once. Storage adapters ask these functions and write the answer down.
"""
