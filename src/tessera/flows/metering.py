"""Notice a stream that runs past its output cap."""

import asyncio

from tessera.domain.dialects.usage import OUTPUT_TEXT_MAX, ReplyFacts
from tessera.domain.tokens.slices import count_sliced
from tessera.flows.settling import Running

_CHARACTERS_PER_TOKEN = 2
"""Text with fewer characters to a token is noticed later; nearly all has more, and so is looked at late and seldom."""
_LOOK_EVERY_CHARACTERS_MIN = 64
_COUNT_ON_LOOP_CHARACTERS_MAX = 8_000


class OutputMeter:
    """Counts a stream's output, each piece of text once, and only when it could be past the cap.

    Providers count with their own tokenizers, so a stream is past its cap when by our count it has a quarter more and
    16 tokens; the charge never goes beyond the cap anyhow. `look_at` is the number of characters to look at next.
    """

    def __init__(self, running: Running) -> None:
        cap = running.found.output_cap * running.found.request.choices
        self._count = running.world.counter_for(running.found.encoding)
        self._tokens_max = cap + cap // 4 + 16
        self._tokens = 0
        self._characters = 0
        self.look_at = self._tokens_max * _CHARACTERS_PER_TOKEN

    async def over(self, facts: ReplyFacts) -> bool:
        """Whether the stream is past its cap; sets `look_at` anew when it is not."""
        if facts.output_chars > OUTPUT_TEXT_MAX:
            return True
        text = facts.output_text[self._characters :]
        self._characters += len(text)
        if len(text) > _COUNT_ON_LOOP_CHARACTERS_MAX:
            tokens, _ = await asyncio.to_thread(count_sliced, text, self._count)
            self._tokens += tokens
        else:
            self._tokens += self._count(text)
        left = self._tokens_max - self._tokens
        self.look_at = self._characters + max(left * _CHARACTERS_PER_TOKEN, _LOOK_EVERY_CHARACTERS_MIN)
        return left < 0
