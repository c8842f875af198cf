"""Gateways measured against each other in one run: each candidate on one core, load and a fake provider on another.

Always holds: every candidate gets the same bodies from the same generator and the same provider in the same round, in
an order that changes from round to round, and nothing leaves the loopback interface.
"""
