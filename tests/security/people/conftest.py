"""What the attacks on people's routes share: a server with mail, and two organizations full of objects."""

from people_calls import people
from people_objects import operator, two_organizations

__all__ = ["operator", "people", "two_organizations"]
