"""From facts, prompt and size to advisories.

Source of the list: the limitations that OpenAI's and Anthropic's vision guides document (docs/reference/advisories.md
names the section for each). What the file states, such as its orientation, is certain; what words suggest is not.
"""

import re
from collections.abc import Iterator

from tessera.domain.advisories.facts import Advisory, ImageFacts
from tessera.domain.advisories.prompt import read_prompt
from tessera.domain.advisories.topics import TOPICS, Topic

# Anthropic's guide: quality suffers under 200 pixels on a side.
_SIDE_MIN = 200
# Shrunk to 3/5 of its width or less, ten-point text of a 150 dpi scan is under 9 pixels high.
_SHRINK_NUMERATOR, _SHRINK_DENOMINATOR = 3, 5

_FISHEYE_CAMERAS = ("fisheye", "fish-eye", "fish eye")
_PANORAMA_CAMERAS = ("ricoh theta", "insta360", "gear 360", "gopro max", "qoocam")

_SEPARATORS = re.compile(r"[\s_\-.+/]+")

_FROM_PROMPT: dict[Topic, tuple[str, str]] = {
    Topic.NON_LATIN_TEXT: (
        "non_latin_text",
        "The prompt asks for text that is not in Latin letters, which models read less well: send it at the highest "
        "detail, crop to the text, and check the transcription.",
    ),
    Topic.CAPTCHA: (
        "captcha",
        "This looks like a CAPTCHA. Providers refuse to solve them: do not retry or work around it, ask a person.",
    ),
    Topic.MEDICAL: (
        "medical",
        "Vision models are not suitable for interpreting medical images such as CT scans: do not use the answer for "
        "diagnosis or treatment, have a clinician read the image.",
    ),
    Topic.COUNTING: (
        "counting",
        "Counts of objects are approximate: cut the image into parts, count each and add up, and check the result.",
    ),
    Topic.PERSON: (
        "person_identification",
        "Models refuse to say who a person is from their face: put the name in the prompt if you know it, or ask for a "
        "description instead.",
    ),
    Topic.CHART: (
        "chart",
        "Charts whose lines differ in colour or style are often misread: send the data itself, or label each line "
        "directly in the chart.",
    ),
    Topic.FILE_METADATA: (
        "file_metadata",
        "Models see pixels only, not the file's name, date, place or camera: read them yourself and write them into "
        "the prompt.",
    ),
    Topic.AI_GENERATED: (
        "ai_generated",
        "Models cannot tell reliably whether an image is generated or altered: do not rely on the answer, look for "
        "signed provenance (C2PA) in the file.",
    ),
}


def advise(facts: ImageFacts, prompt_text: str, sized: tuple[int, int] | None = None) -> tuple[Advisory, ...]:
    """What to know before sending this image with this prompt; empty when nothing is known against it.

    `sized` is the width and height in pixels that the model will look at, from the image's count; None if unknown.
    """
    asked = read_prompt(prompt_text)
    found = [*_from_shape(facts, asked), *_from_size(facts, asked, sized)]
    if Topic.MEDICAL not in asked and _says(facts, Topic.MEDICAL):
        found.append(_advisory(Topic.MEDICAL))
    if Topic.COORDINATES in asked:
        found.append(_coordinates(facts, sized))
    found.extend(_advisory(topic) for topic in _FROM_PROMPT if topic in asked)
    return tuple(found)


def _advisory(topic: Topic) -> Advisory:
    code, message = _FROM_PROMPT[topic]
    return Advisory(code=code, message=message)


def _says(facts: ImageFacts, topic: Topic) -> bool:
    """Whether the file's description or name speaks of a topic (`chest-xray_012.png`)."""
    if not facts.description:
        return False
    return TOPICS[topic].found_in(" ".join(_SEPARATORS.split(facts.description)))


def _from_shape(facts: ImageFacts, asked: frozenset[Topic]) -> Iterator[Advisory]:
    if facts.orientation != 1:
        yield Advisory(
            code="rotated",
            message=f"The file says it must be turned to be seen upright (EXIF orientation {facts.orientation}); "
            "models misread rotated images and may ignore this tag. Rotate the pixels and drop the tag before sending: "
            "`tessera describe --upright` does it, and the price stays the same.",
        )
    fisheye = (
        "fisheye" in facts.projection
        or any(name in facts.camera for name in _FISHEYE_CAMERAS)
        or _says(facts, Topic.FISHEYE)
        or Topic.FISHEYE in asked
    )
    if fisheye:
        yield Advisory(
            code="fisheye",
            message="Models have difficulty with fisheye images: reproject it to an ordinary view, or crop the middle, "
            "before sending.",
        )
        return
    wide = facts.width >= 2 * facts.height and facts.height >= _SIDE_MIN
    spherical = bool(facts.projection) or any(name in facts.camera for name in _PANORAMA_CAMERAS)
    if wide or spherical or Topic.PANORAMA in asked:
        yield Advisory(
            code="panoramic",
            message="Models have difficulty with panoramic and very wide images: cut it into ordinary views, with some "
            "overlap, and send each.",
        )


def _from_size(facts: ImageFacts, asked: frozenset[Topic], sized: tuple[int, int] | None) -> Iterator[Advisory]:
    if 0 < min(facts.width, facts.height) < _SIDE_MIN:
        yield Advisory(
            code="low_resolution",
            message=f"The image is only {facts.width}×{facts.height} pixels; under {_SIDE_MIN} on a side models see "
            "little and guess. Send a larger original; enlarging this one adds no detail.",
        )
    if Topic.SMALL_TEXT not in asked and Topic.READING not in asked:
        return
    if sized and sized[0] * _SHRINK_DENOMINATOR <= facts.width * _SHRINK_NUMERATOR:
        percent = 100 * sized[0] // facts.width
        yield Advisory(
            code="tiny_text",
            message=f"The prompt asks for text, and the model sees this {facts.width}×{facts.height} image at "
            f"{sized[0]}×{sized[1]}, {percent} % of its width: small letters get lost. Crop to the text, send the "
            "image in parts, or use a higher `detail` where the model has one.",
        )
    elif Topic.SMALL_TEXT in asked:
        yield Advisory(
            code="tiny_text",
            message="The prompt asks for small text, which models misread: crop to the text and enlarge it, and use "
            "the highest `detail` the model has.",
        )


def _coordinates(facts: ImageFacts, sized: tuple[int, int] | None) -> Advisory:
    place = "to the size the model sees"
    if sized and sized != (facts.width, facts.height):
        place = f"to {sized[0]}×{sized[1]}, the size the model sees it at,"
    return Advisory(
        code="spatial_coordinates",
        message="Models are imprecise about positions and coordinates. Resize the image "
        f"{place} before sending, ask for pixels of that size, map them back, and check them.",
    )
