"""The ledger, accounts and usage as rows: what both databases do alike, with one set of SQL.

Owns the writer and its groups, the books it decides on, the audit, the outbox, the lease, the witness and the generated
secrets. A connection is used as one to SQLite is, whatever it leads to. Always holds: a hold and its checks are one
commit; a settlement is durable, in the database or the outbox, before it is reported.
"""
