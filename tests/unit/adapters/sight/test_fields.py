"""Schema properties: what is known is filled so that the schema holds, what is not known stays None."""

from typing import Any

import jsonschema
import numpy as np
import pytest
import zxingcpp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from images.pictures import plain, seen, with_shapes
from tessera.adapters.providers.sight import faces
from tessera.adapters.providers.sight.facts import KNOWN
from tessera.adapters.providers.sight.fields import known_fields, plain_name

SHAPES = seen(with_shapes())
STRING, NUMBER, INTEGER, BOOLEAN = ({"type": name} for name in ("string", "number", "integer", "boolean"))


def with_code(content: str = "https://example.com/a") -> Image.Image:
    stamp = Image.fromarray(np.array(zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat.QRCode).to_image(scale=5)))
    card = plain(size=(stamp.width + 80, stamp.height + 80))
    card.paste(stamp.convert("RGB"), (40, 40))
    return card


CODE = seen(with_code())


@pytest.mark.parametrize(
    ("name", "schema", "expected"),
    [
        ("dominant_color", STRING, "white"),
        ("dominantColour", {"enum": ["Red", "White"]}, "White"),
        ("primary-color", {"type": "string", "pattern": "^#[0-9A-F]{6}$"}, "#FFFFFF"),
        ("color_hex", STRING, "#ffffff"),
        ("colors", {"type": "array", "items": {"enum": ["red", "blue", "green", "pink"]}}, ["blue", "red", "green"]),
        ("colors", {"type": "array", "items": STRING, "maxItems": 1}, ["white"]),
        ("palette", {"type": "array", "minItems": 9, "items": STRING}, None),
        ("width", INTEGER, 600),
        ("imageHeight", NUMBER, 600),
        ("aspect_ratio", NUMBER, 1),
        ("aspect_ratio", STRING, "1:1"),
        ("orientation", {"enum": ["landscape", "portrait", "square"]}, "square"),
        ("format", {"enum": ["JPEG", "PNG"]}, "PNG"),
        ("mime_type", STRING, "image/png"),
        ("brightness", {"enum": ["low", "medium", "high"]}, "high"),
        ("brightness", {"type": "number", "minimum": 0, "maximum": 1}, pytest.approx(0.92, abs=0.05)),
        ("is_blurry", BOOLEAN, False),
        ("sharpness", {"enum": ["sharp", "blurry"]}, "sharp"),
        ("image_type", {"enum": ["photograph", "illustration"]}, "illustration"),
        ("category", {"enum": ["photo", "drawing", "chart"]}, "drawing"),
        ("category", STRING, None),
        ("category", {"enum": ["shirt", "shoes"]}, None),
        ("shapes", {"type": "array", "items": {"enum": ["circle", "square"]}}, ["square", "circle"]),
        ("circle_count", INTEGER, 1),
        ("numberOfTriangles", INTEGER, 1),
        ("number_of_ellipses", INTEGER, 0),
        ("has_text", BOOLEAN, False),
        ("text", STRING, ""),
        ("qr_code", {"type": ["string", "null"]}, None),
        ("has_qr_code", BOOLEAN, False),
        ("barcodes", {"type": "array", "items": STRING}, []),
        ("is_grayscale", BOOLEAN, False),
        ("has_transparency", {"enum": ["yes", "no"]}, "no"),
        ("pattern", STRING, "smooth"),
        ("price", NUMBER, None),
        ("brand", STRING, None),
        ("mood", STRING, None),
        ("width", STRING, None),
        ("description", INTEGER, None),
        ("width", {"type": "integer", "maximum": 100}, None),
        ("dominant_color", {"type": "string", "format": "date"}, None),
        ("dominant_color", {"anyOf": [{"type": "null"}, {"type": "string"}]}, "white"),
        ("is_photo", {"const": True}, None),
        ("is_drawing", {"const": True}, True),
    ],
)
def test_a_property_gets_what_is_true_and_allowed(name: str, schema: dict[str, Any], expected: object) -> None:
    assert known_fields([SHAPES], name, schema) == expected


def test_objects_in_lists_are_built_from_the_names_of_their_properties() -> None:
    item = {
        "type": "object",
        "properties": {"name": STRING, "hex": STRING, "percentage": NUMBER},
        "required": ["name", "hex"],
    }
    palette = known_fields([SHAPES], "palette", {"type": "array", "items": item})
    assert isinstance(palette, list)
    assert palette[0] == {"name": "white", "hex": "#ffffff", "percentage": pytest.approx(90.6, abs=1)}
    shape = {"type": "object", "properties": {"shape": STRING, "color": STRING, "position": STRING}}
    shapes = known_fields([SHAPES], "shapes", {"type": "array", "items": shape})
    assert {"shape": "circle", "color": "red", "position": "in the upper left"} in shapes  # type: ignore[operator]


def test_an_object_that_needs_more_than_is_known_is_left_out() -> None:
    item = {"type": "object", "properties": {"name": STRING, "pantone": STRING}, "required": ["name", "pantone"]}
    assert known_fields([SHAPES], "palette", {"type": "array", "items": item}) is None


def test_codes_are_given_as_text_as_truth_and_as_objects() -> None:
    content = "https://example.com/a"
    assert known_fields([CODE], "qr_code", STRING) == content
    assert known_fields([CODE], "hasQrCode", BOOLEAN) is True
    assert known_fields([CODE], "qr_codes", {"type": "array", "items": STRING}) == [content]
    item = {"type": "object", "properties": {"format": STRING, "value": STRING}, "required": ["format", "value"]}
    assert known_fields([CODE], "codes", {"type": "array", "items": item}) == [{"format": "QR code", "value": content}]


def test_prose_is_shortened_at_a_word_and_values_are_not() -> None:
    short = known_fields([SHAPES], "description", {"type": "string", "maxLength": 40})
    assert isinstance(short, str)
    assert len(short) <= 40
    assert short.endswith("…")
    assert known_fields([CODE], "qr_code", {"type": "string", "maxLength": 5}) is None


def test_a_description_speaks_of_every_picture() -> None:
    told = known_fields([SHAPES, CODE], "description", STRING)
    assert "circle" in str(told)
    assert "https://example.com/a" in str(told)


def test_people_are_unknown_when_nobody_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "detector", lambda: None)
    blind = seen(with_shapes())
    assert known_fields([blind], "people_count", INTEGER) is None
    assert known_fields([blind], "has_faces", BOOLEAN) is None


def test_without_a_picture_nothing_is_known() -> None:
    assert known_fields([], "width", INTEGER) is None


NAMES = st.sampled_from([*KNOWN, "description", "caption", "text", "circle_count", "unheard_of"])
SCALARS = st.one_of(
    st.fixed_dictionaries({"type": st.just("string")}, optional={"maxLength": st.integers(0, 200)}),
    st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": st.integers(0, 30)}),
    st.fixed_dictionaries({"type": st.just("integer")}, optional={"minimum": st.integers(0, 700)}),
    st.fixed_dictionaries({"type": st.just("number")}, optional={"maximum": st.sampled_from([1, 100, 5000])}),
    st.fixed_dictionaries({"type": st.just("number")}, optional={"exclusiveMinimum": st.integers(0, 2)}),
    st.just({"type": "boolean"}),
    st.fixed_dictionaries(
        {"enum": st.lists(st.sampled_from(["white", "photo", "sharp", 600, True, None]), min_size=1)}
    ),
    st.fixed_dictionaries({"type": st.lists(st.sampled_from(["string", "null", "number"]), min_size=1, unique=True)}),
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner},
            optional={"minItems": st.integers(0, 3), "maxItems": st.integers(0, 4), "uniqueItems": st.booleans()},
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from(["name", "hex", "value", "share", "zz"]), inner),
            },
            optional={"required": st.lists(st.sampled_from(["name", "hex"]), unique=True)},
        ),
    ),
    max_leaves=6,
)


REQUIRED_BUT_NOT_DESCRIBED = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name", "hex"]}


@settings(max_examples=400, deadline=None)
@example("dominant_color", REQUIRED_BUT_NOT_DESCRIBED, SHAPES)
@given(NAMES, SCHEMAS, st.sampled_from([SHAPES, CODE]))
def test_whatever_is_given_is_valid_by_its_schema(name: str, schema: dict[str, Any], observation: Any) -> None:
    value = known_fields([observation], name, schema)
    if value is not None:
        jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("dominantColor", "dominant_color"), ("Dominant Colour", "dominant_color"), ("isGreyScale", "is_gray_scale")],
)
def test_spellings_of_a_name_are_one(name: str, expected: str) -> None:
    assert plain_name(name) == expected
