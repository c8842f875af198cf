"""Alerts: what organizations want to be told of their money, and how they are told.

Always holds: no call waits for any of this; what was raised is in the database before anybody hears of it, and stays
there until each receiver took it or was given up on. Who receives may hear twice, with the same id, and never not.
"""
