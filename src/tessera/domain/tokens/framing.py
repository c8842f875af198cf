"""What a model adds around the text it is sent, as far as anyone has published it."""

import msgspec

from tessera.domain.request import Surface
from tessera.domain.tokens.counts import Confidence


class ToolFraming(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens around the parts of a function tool: per function, per list of properties, per property, per enum (may
    be negative), per enum item, and once after the last function. Source: OpenAI Cookbook, tiktoken notebook."""

    function: int
    properties: int
    key: int
    enum: int
    enum_item: int
    end: int


class Framing(msgspec.Struct, frozen=True, kw_only=True):
    """How one family of models counts text.

    `encoding` is the tokenizer that predicts, times `ratio_numerator`/`ratio_denominator` where the vendor's own is not
    public. Each message costs `per_message`, each name `per_name`, the priming of the reply `priming` tokens; `tools`
    is what function tools cost. On the surfaces of `published_on` all this is published and counts are exact. Anywhere
    else the maximum is the text's UTF-8 bytes plus the reserve: `reserve_tokens` a call, `reserve_per_message` a
    message, and `reserve_tools` once when there are tools or a response schema.
    """

    id: str
    encoding: str
    confidence: Confidence
    source: str
    published_on: tuple[Surface, ...] = ()
    per_message: int = 3
    per_name: int = 1
    priming: int = 3
    tools: ToolFraming
    ratio_numerator: int = 1
    ratio_denominator: int = 1
    reserve_tokens: int = 0
    reserve_per_message: int = 0
    reserve_tools: int = 0
