"""Any server that speaks OpenAI's Chat Completions or Responses over HTTP: OpenAI, vLLM, Ollama, llama.cpp.

Owns the pooled connections and the deadlines of a call. Always holds: the body goes out in the pieces it came in, never
joined; a reply that is compressed, redirected or of the wrong kind is a provider error; an unread reply's connection is
cut, never reused.
"""

from tessera.adapters.providers.openai.client import OpenAIProvider
from tessera.adapters.providers.openai.connections import TransportLimits

__all__ = ["OpenAIProvider", "TransportLimits"]
