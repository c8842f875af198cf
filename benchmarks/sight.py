"""What looking at a picture costs on one core: `python benchmarks/sight.py`; figures are in docs/reference/sight.md.

The 2 megapixel photographs are the demo's, enlarged; the page is one of the labelled set's. Each figure is the median
processor time of ten looks after one that warms up; the first answer of a worker is by the clock, start included.
"""

import asyncio
import io
import statistics
import sys
import time
from pathlib import Path

from PIL import Image

from tessera.adapters.providers.sight.engine import SightEngine
from tessera.adapters.providers.sight.look import observe
from tessera.adapters.providers.sight.observation import SightLimits

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT / "src" / "tessera" / "cli" / "photos"


def enlarged(name: str, file_format: str) -> bytes:
    image = Image.open(PHOTOS / name).convert("RGB")
    factor = (2_000_000 / (image.width * image.height)) ** 0.5
    out = io.BytesIO()
    image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC).save(
        out, file_format, quality=88
    )
    return out.getvalue()


def median_ms(data: bytes, limits: SightLimits) -> float:
    taken = []
    for _ in range(11):
        start = time.process_time()
        observe(data, limits)
        taken.append(1000 * (time.process_time() - start))
    return statistics.median(taken[1:])


async def cold_start_ms(data: bytes) -> tuple[float, float]:
    engine = SightEngine()
    try:
        start = time.perf_counter()
        await engine.observe_all([data])
        first = time.perf_counter()
        await engine.observe_all([data])
        return 1000 * (first - start), 1000 * (time.perf_counter() - first)
    finally:
        await engine.close()


def main() -> None:
    quiet, reading = SightLimits(text_characters_max=0), SightLimits()
    for name in ("astronaut.jpg", "chelsea.png", "coffee.webp", "rocket.jpg"):
        for file_format in ("JPEG", "PNG", "WEBP"):
            data = enlarged(name, file_format)
            looking, also_reading = median_ms(data, quiet), median_ms(data, reading)
            print(f"{name:14} 2 MP {file_format:5} {looking:5.0f} ms, with reading {also_reading:5.0f} ms")
    sys.path.insert(0, str(ROOT / "tests"))
    from images.labelled import labelled_images

    page = next(image.data for image in labelled_images() if image.kind == "document")
    print(f"page of writing        {median_ms(page, quiet):6.0f} ms, reading {median_ms(page, reading):6.0f} ms")
    first, second = asyncio.run(cold_start_ms(enlarged("coffee.webp", "JPEG")))
    print(f"first answer of a worker {first:.0f} ms, second {second:.0f} ms")


if __name__ == "__main__":
    main()
