"""What the tests of usage share: a server with mail."""

from people_calls import people

__all__ = ["people"]
