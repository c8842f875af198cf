"""What a call costs: dated price rows, the operator's price book over them, one formula for quote and charge.

Always holds: prices are integer nano-dollars per million units; a model, tier or unit without a row is refused,
never guessed; `charge` is the only function that turns quantities into money.
"""
