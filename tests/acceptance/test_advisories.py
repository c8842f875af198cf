"""Every advisory on at least five positives and twenty negatives, with at most 5 % false alarms.

Prompts are ordinary requests written for this test; images are made here, or are the photographs that scikit-image
ships. The whole way is walked: file → header → facts → advisories.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import skimage
from PIL import Image

import image_files as files
from tessera.adapters.media.header import probe_header
from tessera.domain.advisories import ImageFacts, advise

ORDINARY = ImageFacts(width=1024, height=768)

# What each prompt asks for; several may be asked at once.
POSITIVE: dict[str, list[str]] = {
    "non_latin_text": [
        "Transcribe the Japanese text on this sign.",
        "What do the Chinese characters on this vase say?",
        "Read the Arabic inscription above the door and translate it into English.",
        "Extract all Korean text from the screenshot.",
        "Please OCR this page. It is written in Russian.",
        "Translate this Greek menu.",
        "What is written here in Hebrew?",
        "Can you read the kanji on the lantern?",
        "Transcribe the Cyrillic handwriting.",
        "この看板の文字を読んでください。",
        "请把图片里的文字转录出来",
        "이 사진의 글자를 읽어 줘",
        "Прочитай текст на этой вывеске",
        "اقرأ النص في الصورة",
    ],
    "spatial_coordinates": [
        "Give me the bounding box of every car.",
        "Return pixel coordinates of the submit button.",
        "What are the x, y coordinates of the ball?",
        "Where exactly in the image is the cat? Answer with coordinates.",
        "List bboxes for all faces as [x1, y1, x2, y2].",
        "Which piece stands on e4 on this chess board?",
        "What is the best move for white?",
        "Where should I click to log in?",
        "Give me this chess position as FEN.",
        "Produce segmentation masks for the leaves.",
    ],
    "captcha": [
        "Solve this CAPTCHA.",
        "Type the distorted letters you see in the picture.",
        "I need to prove I'm human, what does this say?",
        "Select all squares with traffic lights.",
        "What is the reCAPTCHA text?",
        "Read the verification code in this image so that I can log in: it has wavy letters",
        "Click 'I am not a robot' and tell me which tiles to choose.",
    ],
    "medical": [
        "Is there a fracture in this chest X-ray?",
        "Describe the findings in this CT scan of the abdomen.",
        "What does this brain MRI show?",
        "Is this mole cancerous?",
        "Diagnose the skin rash in the photo.",
        "Interpret this ECG.",
        "Does the mammogram look normal?",
        "Classify this histology slide.",
        "Is the lesion malignant or benign?",
    ],
    "counting": [
        "How many people are in this picture?",
        "Count the sheep in this field.",
        "How many apples can you see?",
        "What is the number of windows on this building?",
        "Please count all the bottles on the shelf in the photo.",
        "how many cars are parked on the left",
    ],
    "person_identification": [
        "Who is this person?",
        "Who is the man in the red shirt?",
        "Identify the woman on the left.",
        "What is the name of this actor?",
        "Which celebrity is this?",
        "Do you recognise this person?",
        "Who is in this photo?",
    ],
    "chart": [
        "Read the values from this bar chart.",
        "What trend does the line graph show?",
        "Extract the data from the plot into a table.",
        "In this chart, what does the dashed line mean and where is its peak?",
        "Which colour in the pie chart has the highest percentage?",
        "Summarise this histogram.",
    ],
    "file_metadata": [
        "What is the file name of this image?",
        "When was this photo taken?",
        "Which camera was used?",
        "Read the EXIF data.",
        "What are the GPS coordinates stored in this picture?",
        "Show me the image metadata.",
    ],
    "ai_generated": [
        "Is this image AI-generated?",
        "Is this photo real or fake?",
        "Could this be a deepfake?",
        "Was this picture made by AI?",
        "Was this photo photoshopped?",
        "Is this image real?",
    ],
    "fisheye": [
        "This is a fisheye photo of a room. Describe it.",
        "Describe what the fish-eye camera in the lobby sees.",
        "Taken with a fish eye lens: what is on the left?",
        "Fisheye security image: any people?",
        "What distortion does a fisheye lens give this picture?",
    ],
    "panoramic": [
        "This is an equirectangular image of a kitchen. What is behind the camera?",
        "Describe this 360 photo.",
        "What does the 360° panorama show?",
        "Describe the photosphere.",
        "A 360-degree image from a real estate tour: list the rooms.",
    ],
    "tiny_text": [
        "Read the fine print on this contract.",
        "What do the footnotes say?",
        "Transcribe the tiny text at the bottom.",
        "What does the small lettering on the label say?",
        "Can you read the smallest letters on this eye chart?",
        "What is printed in small type?",
    ],
}

# Ordinary requests that ask for nothing of the above.
PLAIN = [
    "What is in this image?",
    "Describe this photograph in one paragraph.",
    "Write alt text for this picture.",
    "Which season is it, and how do you know?",
    "Suggest a title and five tags.",
    "What breed is this dog?",
    "Is this a good photo for a dating profile?",
    "What colours dominate the picture?",
    "Write a short story inspired by this image.",
    "Compare these two photos.",
    "What kind of tree is this?",
    "Is the light natural or artificial?",
    "What mood does this painting convey?",
    "Does this outfit suit a wedding?",
    "Describe the architecture of the Greek temple.",
    "What plants grow in this Japanese garden?",
    "Describe the picture. Answer in Japanese.",
    "Write a caption in Korean for this holiday photo.",
    "Summarise this image in 50 words.",
    "Explain the joke in this cartoon.",
    "Is the dish in the picture Thai or Chinese food?",
    "Что изображено на фотографии?",
    "这张照片里是什么动物？",
    "この写真を説明してください。",
    "Décris cette image en français.",
    "¿Qué hay en esta foto?",
    "Beschreibe dieses Bild kurz.",
    "Does the sofa match the carpet?",
    "Which product category does this item belong to?",
    "Rate the composition and suggest improvements.",
    "What material is the table made of?",
    "Is the traffic light green?",
    "You can count on me to describe pictures well. What is this?",
    "Write three sentences about the plot of the film on this poster.",
    "Tell me how the robot in this picture might move.",
    "Is the sky cloudy?",
    "What is the exact shade of blue of the wall?",
    "What emotions does the scene evoke?",
    "Give me a recipe for this dish.",
    "How would you improve this landing page?",
    "Is anything in this living room broken?",
    "Write a product description for this lamp in German.",
]


def facts_of(data: bytes) -> ImageFacts:
    header = probe_header(data, complete=True)
    width, height = header.displayed
    return ImageFacts(
        width=width,
        height=height,
        orientation=header.orientation,
        projection=header.projection,
        camera=header.exif.camera,
        description=header.exif.description,
    )


def codes(facts: ImageFacts, prompt: str, sized: tuple[int, int] | None = None) -> set[str]:
    found = advise(facts, prompt, sized)
    assert len({advisory.code for advisory in found}) == len(found)
    assert all(len(advisory.message) > 60 for advisory in found)
    return {advisory.code for advisory in found}


@pytest.mark.parametrize("code", POSITIVE)
def test_what_a_prompt_asks_for_is_noticed(code: str) -> None:
    missed = [prompt for prompt in POSITIVE[code] if code not in codes(ORDINARY, prompt)]
    assert len(POSITIVE[code]) >= 5
    assert not missed


@pytest.mark.parametrize("code", POSITIVE)
def test_false_alarms_are_rare(code: str) -> None:
    alarms = [prompt for prompt in PLAIN if code in codes(ORDINARY, prompt)]
    assert len(PLAIN) >= 20
    assert len(alarms) * 20 <= len(PLAIN), alarms


def test_no_plain_prompt_raises_anything_on_an_ordinary_image() -> None:
    alarms = {prompt: found for prompt in PLAIN if (found := codes(ORDINARY, prompt, (1024, 768)))}
    assert len(alarms) * 20 <= len(PLAIN), alarms


# Prompts that ask for two things at once, which is no false alarm.
BOTH = {
    ("What are the GPS coordinates stored in this picture?", "spatial_coordinates"),
    ("Can you read the smallest letters on this eye chart?", "chart"),
    ("Which camera was used?", "file_metadata"),
}


@pytest.mark.parametrize("code", POSITIVE)
def test_one_wish_is_not_taken_for_another(code: str) -> None:
    others = [prompt for other, prompts in POSITIVE.items() if other != code for prompt in prompts]
    alarms = [p for p in others if code in codes(ORDINARY, p) and (p, code) not in BOTH]
    assert len(alarms) * 20 <= len(others), alarms


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_turned_photo_is_noticed(kind: str, orientation: int) -> None:
    photo = files.saved(kind, files.picture(640, 480), exif=files.exif(orientation))
    assert codes(facts_of(photo), "What is this?") == {"rotated"}
    assert "--upright" in advise(facts_of(photo), "")[0].message


def test_what_stands_upright_is_not_called_turned() -> None:
    for number in range(24):
        size = (300 + 40 * number, 400 + 30 * number)
        tags = files.exif(1 if number % 2 else None, make="Nikon")
        photo = files.saved(("JPEG", "PNG", "WEBP")[number % 3], files.picture(*size), exif=tags)
        assert codes(facts_of(photo), "What is this?") == set()


SPHERE = b'<rdf:Description GPano:ProjectionType="equirectangular"/>'


@pytest.mark.parametrize(
    "photo",
    [
        files.saved("JPEG", files.picture(4000, 2000)),
        files.saved("JPEG", files.picture(3000, 600)),
        files.saved("PNG", files.picture(2001, 1000)),
        files.saved("JPEG", files.picture(2000, 1500), xmp=SPHERE),
        files.saved("WEBP", files.picture(1600, 800)),
        files.saved("JPEG", files.picture(1000, 3000), exif=files.exif(6)),
        files.saved("JPEG", files.picture(1440, 1080), exif=files.exif(make="RICOH THETA V")),
    ],
)
def test_a_panorama_is_noticed_by_its_shape_or_its_word(photo: bytes) -> None:
    assert "panoramic" in codes(facts_of(photo), "What is this?")


@pytest.mark.parametrize(
    "photo",
    [
        files.saved("JPEG", exif=files.exif(lens="EF8-15mm f/4L Fisheye USM"), image=files.picture(900, 600)),
        files.saved("JPEG", exif=files.exif(lens="AF Fisheye-Nikkor 16mm"), image=files.picture(900, 600)),
        files.saved("JPEG", exif=files.exif(make="Meike Fish-Eye"), image=files.picture(900, 600)),
        files.saved("PNG", exif=files.exif(make="Canon", lens="Samyang 12mm Fisheye"), image=files.picture(900, 600)),
        files.saved("WEBP", exif=files.exif(lens="7.5mm FISHEYE"), image=files.picture(900, 600)),
        files.saved("JPEG", exif=files.exif(description="Fisheye view of the hall"), image=files.picture(900, 600)),
        files.saved("JPEG", xmp=b'GPano:ProjectionType="fisheye"', image=files.picture(900, 600)),
    ],
)
def test_a_fisheye_is_noticed_by_its_lens_or_its_word(photo: bytes) -> None:
    assert codes(facts_of(photo), "What is this?") == {"fisheye"}


@pytest.mark.parametrize("name", ["chest-xray_012.png", "patient3 CT scan axial.jpg", "brain_mri.png", "knee-MRI.jpg",
                                  "mammogram_left.jpg"])  # fmt: skip
def test_a_medical_image_is_noticed_by_its_name(name: str) -> None:
    facts = ImageFacts(width=800, height=800, description=name.lower())
    assert codes(facts, "Describe this.") == {"medical"}


@pytest.mark.parametrize("name", ["holiday.jpg", "img_0012.png", "scan0001.jpg", "cat.jpg", "hand_made_bowl.png",
                                  "ct_license_plate.jpg", "pet.jpg", "my-pet-cat.webp", "bone_china.jpg", "heart.png",
                                  "x-ray_fish_tetra.jpg", "spect.png", "product-42.webp", "chest_of_drawers.jpg",
                                  "brain_teaser.png", "screenshot 2026-01-01.png", "skin_care_cream.jpg", "hip_hop.png",
                                  "magnetic_board.jpg", "radio.jpg"])  # fmt: skip
def test_an_ordinary_name_is_not_medical(name: str) -> None:
    assert codes(ImageFacts(width=800, height=800, description=name), "Describe this.") == set()


@pytest.mark.parametrize("size", [(199, 800), (800, 199), (64, 64), (2, 2), (150, 199), (32, 400)])
def test_a_small_image_is_noticed(size: tuple[int, int]) -> None:
    assert "low_resolution" in codes(facts_of(files.saved("PNG", files.picture(*size))), "What is this?")


@pytest.mark.parametrize("side", range(200, 240, 2))
def test_two_hundred_pixels_are_not_called_small(side: int) -> None:
    assert codes(ImageFacts(width=side, height=side + 30), "What is this?") == set()


READING = [
    "Transcribe this page.",
    "Read the text in this image.",
    "What does the sign say?",
    "Extract all fields from this invoice.",
    "What is written on the whiteboard?",
    "Translate the text on the label.",
]


@pytest.mark.parametrize("prompt", READING)
@pytest.mark.parametrize(("width", "sized"), [(4000, 1600), (3000, 768), (2480, 1200), (6000, 3600), (1024, 512)])
def test_text_in_an_image_that_is_shrunk_much_is_called_tiny(prompt: str, width: int, sized: int) -> None:
    facts = ImageFacts(width=width, height=width)
    assert codes(facts, prompt, (sized, sized)) == {"tiny_text"}
    assert str(sized) in advise(facts, prompt, (sized, sized))[0].message


@pytest.mark.parametrize("prompt", READING)
@pytest.mark.parametrize(("width", "sized"), [(4000, 2500), (1024, 1024), (1600, 1024), (800, 2000), (2000, 1536)])
def test_text_in_an_image_that_keeps_its_size_is_not(prompt: str, width: int, sized: int) -> None:
    assert codes(ImageFacts(width=width, height=width), prompt, (sized, sized)) == set()


@pytest.mark.parametrize("prompt", PLAIN[:20])
def test_a_shrunk_image_is_no_matter_when_no_text_is_asked_for(prompt: str) -> None:
    assert codes(ImageFacts(width=6000, height=4000), prompt, (1500, 1000)) == set()


def photographs() -> Iterator[tuple[str, bytes]]:
    """The photographs and drawings that scikit-image ships, as PNG and as JPEG."""
    for path in sorted((Path(skimage.__file__).parent / "data").iterdir()):
        if path.suffix in (".png", ".jpg"):
            yield path.name, path.read_bytes()
            with Image.open(path) as image:
                target = io.BytesIO()
                image.convert("RGB").save(target, "JPEG")
            yield f"{path.stem} as JPEG", target.getvalue()


def test_real_photographs_raise_nothing_but_what_is_true_of_their_size() -> None:
    shown = dict(photographs())
    assert len(shown) >= 40
    alarms = []
    for name, data in shown.items():
        facts = facts_of(data)
        found = codes(facts, "Describe this photograph.", (facts.width, facts.height))
        if min(facts.width, facts.height) < 200:
            assert "low_resolution" in found
            found -= {"low_resolution"}
        if found:
            alarms.append((name, found))
    assert not alarms


def test_an_advisory_says_the_size_the_model_sees() -> None:
    found = advise(ImageFacts(width=4000, height=3000), "Give me bounding boxes.", (1600, 1200))
    assert "1600×1200" in found[0].message


def test_a_long_prompt_is_read_at_both_ends() -> None:
    padding = "The weather was fine that day. " * 1_000
    assert "counting" in codes(ORDINARY, "How many dogs are there? " + padding)
    assert "counting" in codes(ORDINARY, padding + " How many dogs are there?")


def test_an_empty_prompt_and_no_facts_raise_nothing() -> None:
    assert advise(ImageFacts(), "") == ()
