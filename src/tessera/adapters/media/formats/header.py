"""What a header says, whatever the format."""

import msgspec

from tessera.adapters.media.exif import NO_EXIF, Exif


class DamagedError(Exception):
    """The file calls itself an image of this format but breaks the format's rules."""


class Header(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An image as its file describes it. `width`, `height` are pixels as stored, before `exif.orientation`.

    `frames` counts images shown one after the other; a phone's second frame (a gain map) is not one. `bits` is per
    sample. `projection` is the XMP panorama projection.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    bits: int = 8
    exif: Exif = NO_EXIF
    projection: str = ""

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 to 8; 1 when the file does not say."""
        return self.exif.orientation

    @property
    def displayed(self) -> tuple[int, int]:
        """Width and height in pixels as seen: orientations 5 to 8 swap the sides."""
        return (self.height, self.width) if self.exif.orientation >= 5 else (self.width, self.height)
