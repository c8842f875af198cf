"""Tessera: an open, self-hosted gateway to vision and image models, prepaid and exact to the nano-dollar.

The folders are floors; each imports only what stands below it (the contracts are in pyproject.toml):

    cli (7) > server, bootstrap, settings (6) > http, adapters (5) > flows (4) > ports (3) > catalog (2) > domain (1)
"""

__version__ = "0.1.0"
