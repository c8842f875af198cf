"""What was used, as it is reported: lists, OpenAI's shapes, exports, live events.

Always holds: amounts are sums of what the ledger settled, in integers; a report is of one organization and mode.
"""
