"""What a call asks for, as far as counting, pricing, routing and holding need to know: the counting view.

Built once at the edge by `domain/dialects` from the wire; frozen afterwards. The body itself stays bytes and is
never rebuilt from this view.
"""

from enum import StrEnum

import msgspec


class Surface(StrEnum):
    """One endpoint's dialect: what a caller speaks, and what a deployment understands."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    GENERATE_CONTENT = "generate_content"


class Tier(StrEnum):
    """The service tier a price row is for. OpenAI's `fast` is `priority` here."""

    DEFAULT = "default"
    BATCH = "batch"
    FLEX = "flex"
    PRIORITY = "priority"


class Detail(StrEnum):
    """How closely a model looks at an image. `auto` is also what an omitted `detail` means."""

    LOW = "low"
    HIGH = "high"
    ORIGINAL = "original"
    AUTO = "auto"


class ImageOrigin(StrEnum):
    """Where an image's bytes come from: an address, the body itself (a data URL), or an uploaded file."""

    URL = "url"
    DATA = "data"
    FILE = "file"


class ImagePart(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a call, in reading order.

    `url` is the address, or the file id; for a data URL it is empty, `media_type` is what it declares, and
    `data` is the base64 text: a view into the request's own body, never a copy. `is_base64` says that all of it is
    known to be strict base64; if not, it may be or not.
    `param` is the caller's path to it (`messages[0].content[1].image_url`), for messages.
    """

    index: int
    origin: ImageOrigin
    url: str = ""
    media_type: str = ""
    data: memoryview | None = None
    is_base64: bool = False
    detail: Detail = Detail.AUTO
    param: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message as text counting sees it: `texts` are its text parts and tool-call arguments, images left out."""

    role: str
    texts: tuple[str, ...] = ()
    name: str | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One function tool: `parameters` is its JSON schema, exactly as the caller wrote it; or a `custom` tool, whose
    `parameters` are its grammar, if it has one."""

    name: str
    description: str = ""
    parameters: bytes = b""
    custom: bool = False


class OutputFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Structured output asked for: `kind` is text, json_object or json_schema; `schema` the JSON schema as written."""

    kind: str = "text"
    name: str = ""
    schema: bytes = b""
    strict: bool = False


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The counting view of one call.

    `output_cap` is the caller's own limit on output tokens, reasoning included, or None, and `output_cap_name` the
    field it stands in; `choices` is `n`.
    `tier` is what the caller asked for (None when omitted or `auto`).
    `include_usage` says whether a stream's caller asked for the usage chunk.
    `text_bytes` is the UTF-8 length of everything in the body that is not image data: an upper bound on text.
    `stored_reasoning` is the caller's path to reasoning that is only an id (`input[1]`), or empty.
    """

    surface: Surface
    model: str
    messages: tuple[Message, ...]
    images: tuple[ImagePart, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    output_format: OutputFormat = OutputFormat()
    output_cap: int | None = None
    output_cap_name: str = "max_output_tokens"
    choices: int = 1
    tier: Tier | None = None
    stream: bool = False
    include_usage: bool = False
    text_bytes: int = 0
    stored_reasoning: str = ""
