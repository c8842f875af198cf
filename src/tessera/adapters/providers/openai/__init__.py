"""Any server that speaks OpenAI's Chat Completions or Responses over HTTP: OpenAI, vLLM, Ollama, llama.cpp.

Owns the pooled connections and the deadlines of a call. Always holds: the body goes out in the pieces it came in, never
joined when they are large; a call is sent once; a reply that is compressed, redirected, of the wrong kind or without
one certain end is a provider error; the connection of a reply that has not arrived whole is cut, never reused.
"""

from tessera.adapters.providers.openai.client import OpenAIProvider
from tessera.adapters.providers.openai.connections import TransportLimits

__all__ = ["OpenAIProvider", "TransportLimits"]
