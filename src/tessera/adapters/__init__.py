"""The edge: everything that touches the world, behind the ports of `tessera.ports`.

Always holds: an adapter implements a port and knows no flow; families (providers, storage, media, tokenizers) do not
know each other; only `tessera.bootstrap` names them.
"""
