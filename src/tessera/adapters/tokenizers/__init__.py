"""Text tokenizers: OpenAI's public vocabularies, shipped in the package.

Owns the packed vocabulary files and what turns them into counters. Always holds: nothing is ever downloaded; a
vocabulary is read once, when asked for or when a text needs it; special tokens in a text are counted as the ordinary
text they are.
"""

from tessera.adapters.tokenizers.encodings import ENCODINGS, counter_for, is_loaded, load

__all__ = ["ENCODINGS", "counter_for", "is_loaded", "load"]
