"""Questions and what is answered: to the point, honest about limits, different for different pictures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from images.pictures import plain, seen, with_shapes
from tessera.adapters.providers.sight.answers import answer

SHAPES = seen(with_shapes())
DARK = seen(plain((12, 12, 40), (300, 400)))  # type: ignore[arg-type]
SELF = "Tessera sight, a classical image analyser, not a language model"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many circles are there?", "I count one circle: a medium-sized red circle in the upper left."),
        ("How many red squares?", "I find no red squares with a clear outline."),
        ("Count the rectangles", "I count one square"),
        ("Is there any red in it?", "There is some red"),
        ("Is it mostly white?", "Yes, white leads"),
        ("Do you see purple?", "I see no purple worth mentioning."),
        ("What is the resolution?", "It is 600 × 600 pixels"),
        ("Is this a landscape or portrait picture?", "It is square"),
        ("Is this a photo or a drawing?", "a drawing or flat graphic"),
        ("Is it blurry?", "Its edges are sharp"),
        ("How bright is it?", "It is bright overall"),
        ("What is in the top right?", "a medium-sized bright blue square in the upper right"),
        ("Scan the QR code", "I find no QR code or bar code that can be decoded."),
        ("Is the background transparent?", "No part of it is transparent."),
        ("Is there a pattern?", "Most of it is smooth"),
        ("Which model are you?", f"I am {SELF}."),
        ("How many cars are there?", "I can count only simple shapes"),
    ],
)
def test_a_question_gets_its_answer(question: str, expected: str) -> None:
    assert expected in answer([SHAPES], question)


@pytest.mark.parametrize(
    "question",
    ["Who is this?", "What breed is the dog?", "What does this mean?", "What is this object?", "Where was this taken?"],
)
def test_what_cannot_be_known_is_said_plainly(question: str) -> None:
    told = answer([SHAPES], question)
    assert "I cannot know that" in told
    assert SELF in told


@pytest.mark.parametrize("question", ["", "Describe this image.", "Beschreibe das Bild", "??", "Tell me about it"])
def test_without_a_known_topic_the_whole_picture_is_described(question: str) -> None:
    told = answer([SHAPES], question)
    assert "600 × 600 pixels" in told
    assert "one circle, one square and one triangle" in told
    assert told.endswith("or tell what it means.")
    assert SELF in told


def test_a_description_with_a_question_for_text_answers_both() -> None:
    told = answer([SHAPES], "Describe the image and read any text.")
    assert "600 × 600" in told
    assert "writing" in told


def test_several_pictures_are_answered_one_by_one() -> None:
    told = answer([SHAPES, DARK], "How bright is it?")
    assert told.index("Picture 1: It is bright overall") < told.index("Picture 2: It is dark overall")


def test_pictures_are_compared() -> None:
    told = answer([SHAPES, DARK], "What is different between these two?")
    assert "Picture 1 is the brightest" in told
    assert "three shapes in picture 1 and no shapes in picture 2" in told
    assert "Their leading colours are white in picture 1" in told


def test_equal_pictures_are_called_equal() -> None:
    assert "the same picture" in answer([SHAPES, SHAPES], "Compare them")


def test_without_a_picture_that_is_said() -> None:
    assert "I was given no picture" in answer([], "What do you see?")


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3), st.sampled_from(["Describe it", "colours?", "Is it sharp?", "Who?"]))
def test_pictures_of_different_colours_get_different_texts(rgb: tuple[int, int, int], question: str) -> None:
    other = (255 - rgb[0], rgb[1] // 2, (rgb[2] + 128) % 256)
    first, second = (seen(Image.new("RGB", (40, 40), colour)) for colour in (rgb, other))
    assert answer([first], question) != answer([second], question)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_question_gets_an_answer_in_whole_sentences(question: str) -> None:
    told = answer([SHAPES], question)
    assert told == answer([SHAPES], question)
    assert told.endswith((".", "”"))
    assert "None" not in told
    assert "  " not in told
