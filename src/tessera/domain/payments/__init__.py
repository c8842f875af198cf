"""Money in and out as rules: top-ups, payments and what happens to them, vouchers, statements.

Always holds: amounts are nano-dollars, whole cents where a payment service moves them; what a service says is checked
against what was ordered, never believed.
"""
