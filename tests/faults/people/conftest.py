"""What the faults of people share: a server with mail."""

from people_calls import people

__all__ = ["people"]
