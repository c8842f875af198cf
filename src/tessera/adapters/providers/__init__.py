"""Transport to providers, one folder each, and the providers that live in this process.

Owns sockets, credentials and deadlines towards providers. Always holds: a credential leaves only to the host it was
configured for; the caller's own key, cookies and hop headers never leave at all; a reply is never unpacked, so it
cannot be larger than it looks.
"""
