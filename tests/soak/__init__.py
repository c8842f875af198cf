"""A real server under mixed load for a long time: `make soak MINUTES=30`.

Calls, images, streams, repeats, quotes, refusals, callers who leave and providers who fail, all at once; at the end
memory has stayed flat, everything taken has been given back, and the ledger holds nothing and is whole.
"""
