"""What the tests of operators share: a server with mail."""

from people_calls import people

__all__ = ["people"]
