"""The provider behind test keys: any catalogue model, no network, the same answer to the same question.

Owns made-up answers, their tool calls and structured output, and the faults a caller can ask for. Always holds: nothing
it says claims to come from the model; a JSON schema is answered validly or refused by the keyword's name; usage is true
to the count.
"""

from tessera.adapters.providers.sandbox.provider import SandboxProvider
from tessera.adapters.providers.sandbox.schema_answers import generate
from tessera.adapters.providers.sandbox.schema_keywords import RefusedSchemaError

__all__ = ["RefusedSchemaError", "SandboxProvider", "generate"]
