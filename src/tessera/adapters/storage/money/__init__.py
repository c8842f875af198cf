"""The storage of money in and out, written once for every database that keeps the ledger.

Owns the SQL of top-ups, payment events, claims on payments, refunds, vouchers, automatic top-up and statements.
Always holds: what moves money and what records why are one commit with the ledger's chain; the wallet is locked before
anything is decided on; every statement is a constant with its values apart.
"""
