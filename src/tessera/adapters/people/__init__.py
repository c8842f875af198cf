"""What people need of the world beside storage: password hashing and mail.

Always holds: only a few passwords are hashed at a time; where a mail server is set, no link is written to a log.
"""
