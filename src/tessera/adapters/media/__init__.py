"""Images from strangers: how large they are, what they are, and how to get one without being led astray.

Owns the guarded fetch (the only way an address from outside is dialled), the header probe, base64 checking,
conversion and turning upright. Always holds: the same limits in the same order whether an image comes by address or in
the body; no pixel is decoded to learn a size; nothing connects to an address that was not checked; every refusal is a
`TesseraError` that a caller can act on; image bytes never reach a log. `upright` is the only module that loads Pillow.
"""

from tessera.adapters.media.fetch import GuardedFetch
from tessera.adapters.media.formats import Header
from tessera.adapters.media.header import probe_header
from tessera.adapters.media.limits import MediaLimits
from tessera.adapters.media.probe import MediaProber

__all__ = ["GuardedFetch", "Header", "MediaLimits", "MediaProber", "probe_header"]
