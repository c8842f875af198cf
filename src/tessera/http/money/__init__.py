"""Money in and out over HTTP: top-ups, vouchers, receipts, statements, automatic top-up, and Stripe's webhook.

Owns the table of these routes. The same handlers serve API keys under `/v1`, admin keys under `/v1/organization` and
sessions under `/account/organizations/{organization}`. Always holds: what charges a saved card needs a member's right;
an API key can only bring money in and look.
"""
