"""QR and bar codes, read exactly by zxing-cpp. A code is reported only when its own checksum holds."""

import numpy as np
import zxingcpp
from numpy.typing import NDArray

from tessera.adapters.providers.sight.observation import Code, Region

FORMATS = {
    "QRCode": "QR code",
    "MicroQRCode": "Micro QR code",
    "RMQRCode": "rMQR code",
    "DataMatrix": "Data Matrix",
    "Aztec": "Aztec code",
    "PDF417": "PDF417",
    "EAN13": "EAN-13",
    "EAN8": "EAN-8",
    "UPCA": "UPC-A",
    "UPCE": "UPC-E",
    "Code128": "Code 128",
    "Code39": "Code 39",
    "Code93": "Code 93",
    "ITF": "ITF",
    "Codabar": "Codabar",
    "DataBar": "GS1 DataBar",
}
"""The formats looked for and what people call them."""
WEAK = {"ITF", "Code39", "Codabar"}
"""Formats without a mandatory check digit: stripes of a photograph can pass for a short one, so a long one is asked."""
CODES_MAX = 50


def see_codes(luma: NDArray[np.uint8]) -> tuple[Code, ...]:
    """Every readable code, from the top left on."""
    wanted = zxingcpp.barcode_formats_from_str(",".join(FORMATS))
    rows, columns = luma.shape
    codes = []
    for found in zxingcpp.read_barcodes(np.ascontiguousarray(luma), formats=wanted)[:CODES_MAX]:
        name = str(found.format).replace("BarcodeFormat.", "")
        content = found.text
        if not found.valid or not content or (family_of(name) in WEAK and len(content) < 6):
            continue
        corner = [getattr(found.position, key) for key in ("top_left", "top_right", "bottom_right", "bottom_left")]
        xs = [min(max(point.x / columns, 0.0), 1.0) for point in corner]
        ys = [min(max(point.y / rows, 0.0), 1.0) for point in corner]
        box = Region(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
        codes.append(Code(format=FORMATS.get(family_of(name), name), content=content, region=box))
    return tuple(sorted(codes, key=lambda code: (round(code.region.top, 1), code.region.left, code.content)))


def family_of(name: str) -> str:
    """`QR Code Model 2` and `QRCodeModel2` are both QRCode."""
    plain = name.replace(" ", "").replace("-", "").replace("/", "")
    return next((key for key in sorted(FORMATS, key=len, reverse=True) if plain.startswith(key)), name)
