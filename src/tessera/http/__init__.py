"""The entrance for programs: transport only.

Owns routes, limits on size and time, headers, event-stream framing and the one table from error code to status. Always
holds: who calls is settled before a body is read; nothing here computes tokens or money; no wire type is built here.
"""
