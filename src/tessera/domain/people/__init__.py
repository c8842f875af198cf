"""People, the organizations they belong to, and what each may do there.

Owns roles and their rights, the rules for e-mail addresses, names and passwords, and the records that storage keeps.
Always holds: rights are denied unless the one table in `roles` grants them; nobody gives a right they do not have.
"""
