"""Stripe, through its own SDK; its webhooks are checked and read here too."""
