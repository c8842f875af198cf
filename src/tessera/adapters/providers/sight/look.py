"""One look at one picture: every sense in turn. Runs in a worker process, never in the server."""

from tessera.adapters.providers.sight.codes import see_codes
from tessera.adapters.providers.sight.colours import lab_of
from tessera.adapters.providers.sight.composition import see_composition
from tessera.adapters.providers.sight.faces import see_faces
from tessera.adapters.providers.sight.kind import see_kind
from tessera.adapters.providers.sight.light import see_light, see_sharpness
from tessera.adapters.providers.sight.observation import Code, Observation, Shape, SightLimits
from tessera.adapters.providers.sight.palette import cluster, name_palette
from tessera.adapters.providers.sight.pixels import read_picture
from tessera.adapters.providers.sight.shapes import see_shapes
from tessera.adapters.providers.sight.text import see_text
from tessera.adapters.providers.sight.texture import see_texture

CHROMA_OF_GREY = 3.0
"""Mean CIELAB chroma below which a picture has no colour."""


def observe(image_bytes: bytes, limits: SightLimits) -> Observation:
    """Everything that can be seen in a picture; the same bytes always give the same observation.

    Raises [image_too_large, unsupported_image_format, image_parse_error].
    """
    picture = read_picture(image_bytes, limits)
    lab = lab_of(picture.small)
    clusters = cluster(picture.small, lab)
    light = see_light(lab)
    sharpness = see_sharpness(picture.luma)
    codes = see_codes(picture.luma)
    text = see_text(picture.luma, limits.text_characters_max, codes=tuple(code.region for code in codes))
    kind, confidence = see_kind(picture.luma, clusters, text)
    figures: tuple[Shape, ...] = ()
    if kind in ("photo", "drawing"):
        seen = see_shapes(clusters, strict=kind == "photo")
        # The modules of a code are squares, and edges of things in a photograph lines: neither is a shape to speak of.
        figures = tuple(
            shape for shape in seen if not in_code(shape, codes) and (kind, shape.kind) != ("photo", "line")
        )
    return Observation(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        orientation=picture.orientation,
        size_bytes=picture.size_bytes,
        animated=picture.animated,
        greyscale=light.colourfulness < CHROMA_OF_GREY,
        transparent_share=picture.transparent_share,
        palette=name_palette(clusters),
        light=light,
        sharpness=sharpness,
        texture=see_texture(lab, sharpness.noise),
        shapes=figures,
        codes=codes,
        text=text,
        faces=see_faces(picture.luma),
        kind=kind,
        kind_confidence=confidence,
        composition=see_composition(picture.small, lab),
    )


def in_code(shape: Shape, codes: tuple[Code, ...]) -> bool:
    x, y = shape.region.centre
    margin = 0.02
    return any(
        box.left - margin < x < box.left + box.width + margin and box.top - margin < y < box.top + box.height + margin
        for box in (code.region for code in codes)
    )
