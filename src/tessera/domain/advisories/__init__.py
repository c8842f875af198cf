"""What vision models are documented to do badly with an image, said before money is spent.

Owns the rules that turn facts about an image, the words of a prompt and the size a model will see into advisories.
Always holds: pure, no pixel is looked at here, nothing is ever blocked, and every message says what to do about it.
Figures are integers; a ratio is compared by multiplying across.
"""

from tessera.domain.advisories.facts import Advisory, ImageFacts
from tessera.domain.advisories.prompt import read_prompt
from tessera.domain.advisories.rules import advise
from tessera.domain.advisories.topics import Topic

__all__ = ["Advisory", "ImageFacts", "Topic", "advise", "read_prompt"]
