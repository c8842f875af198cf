"""Texture and pattern of the whole picture, from its spectrum and from how detail is spread."""

import numpy as np
from numpy.typing import NDArray

from tessera.adapters.providers.sight.colours import Floats
from tessera.adapters.providers.sight.observation import Texture

PLAIN_MAX = 2.2
"""Standard deviation in CIE lightness under which a surface looks like one tone; JPEG noise stays below it."""
CYCLES_MIN = 3.0
"""Fewer repeats than this are a composition, not a pattern."""
NOISE_MIN = 9.0


def see_texture(lab: Floats, noise: float) -> Texture:
    """`lab` is the small colour picture, `noise` the noise of the grey one in grey levels."""
    lightness = lab[..., 0]
    detail = float(busy_tiles(lightness).mean())
    deviation = max(float(lab[..., i].std()) for i in range(3))
    if deviation < PLAIN_MAX:
        return Texture(pattern="plain", detail=detail)
    channel = lab[..., int(np.argmax([lab[..., i].std() for i in range(3)]))]
    slope = gradient_direction(channel)
    if slope is not None:
        return Texture(pattern="gradient", direction=slope, detail=detail)
    repeated = periodic(channel)
    if repeated is not None:
        pattern, direction, repeats = repeated
        return Texture(pattern=pattern, direction=direction, repeats=repeats, detail=detail)
    if noise > NOISE_MIN and detail > 0.9 and deviation < 34:
        return Texture(pattern="noise" if flat_spectrum(lightness) else "fine texture", detail=detail)
    pattern = "fine texture" if detail > 0.9 else "smooth" if detail < 0.25 else "mixed"
    return Texture(pattern=pattern, detail=detail)


def busy_tiles(lightness: Floats) -> NDArray[np.bool_]:
    """Which of the 16 × 16 px tiles hold detail."""
    rows, columns = (side // 16 * 16 for side in lightness.shape)
    tiles = lightness[:rows, :columns].reshape(rows // 16, 16, columns // 16, 16)
    busy: NDArray[np.bool_] = tiles.std(axis=(1, 3)) > 4
    return busy


def gradient_direction(channel: Floats) -> str | None:
    """The direction of one smooth transition over the whole picture, None when there is none."""
    rows, columns = channel.shape
    y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None, :]
    centred = channel - channel.mean()
    along_x = float((centred * x).mean() / (x * x).mean())
    along_y = float((centred * y).mean() / (y * y).mean())
    rest = centred - along_x * x - along_y * y
    if float(rest.var()) > 0.08 * float(centred.var()):
        return None
    if abs(along_x) > 2.4 * abs(along_y):
        return "from left to right"
    return "from top to bottom" if abs(along_y) > 2.4 * abs(along_x) else "diagonally"


def spectrum(channel: Floats) -> tuple[Floats, Floats, Floats]:
    """Energy and its frequencies, across and down in cycles per picture; half a plane, without the slowest waves."""
    rows, columns = channel.shape
    window = np.hanning(rows)[:, None] * np.hanning(columns)[None, :]
    energy = np.abs(np.fft.rfft2((channel - channel.mean()) * window)) ** 2
    down = (np.fft.fftfreq(rows) * rows)[:, None] * np.ones(energy.shape[1])[None, :]
    across = np.arange(energy.shape[1])[None, :] * np.ones(rows)[:, None]
    energy[:, 0] /= 2  # This column stands for both half planes.
    energy[np.hypot(across, down) < CYCLES_MIN - 1] = 0
    return energy.astype(np.float32), across.astype(np.float32), down.astype(np.float32)


def periodic(channel: Floats) -> tuple[str, str | None, int] | None:
    """Stripes, checks or a grid: energy on one line, or on two crossed lines, through the spectrum's origin."""
    energy, across, down = spectrum(channel)
    total = float(energy.sum())
    if total <= 0:
        return None
    rows, columns = channel.shape
    # Angles in the picture, not in the spectrum: a picture is seldom square.
    angle = np.arctan2(down / rows, across / columns) % np.pi
    peak = np.unravel_index(int(energy.argmax()), energy.shape)
    cycles = float(np.hypot(across[peak], down[peak]))
    if cycles < CYCLES_MIN:
        return None
    near = energy[(np.abs(across - across[peak]) <= 2.5) & (np.abs(down - down[peak]) <= 2.5)].sum() / total
    first = float(angle[peak])
    on_first, on_second = (near_angle(energy, angle, first + turn) / total for turn in (0, np.pi / 2))
    if near > 0.3 and on_first > 0.78:
        return "stripes", stripes_direction(first), round(cycles)
    crossed = on_first + on_second
    tilted = min(abs(first % (np.pi / 2)), np.pi / 2 - first % (np.pi / 2)) > np.pi / 12
    # Of a chequerboard's energy two thirds lie on the diagonals, of a grid's nearly all on the axes.
    if near > 0.12 and crossed > (0.56 if tilted else 0.66) and min(on_first, on_second) > 0.2:
        return ("checks", None, 2 * round(cycles / np.sqrt(2))) if tilted else ("grid", None, round(cycles))
    return None


def near_angle(energy: Floats, angle: Floats, wanted: float) -> float:
    apart = np.abs((angle - wanted + np.pi / 2) % np.pi - np.pi / 2)
    return float(energy[apart < np.deg2rad(8)].sum())


def stripes_direction(wave: float) -> str:
    """Stripes run across the direction their wave travels in."""
    degrees = np.rad2deg(wave) % 180
    if degrees < 15 or degrees > 165:
        return "vertical"
    return "horizontal" if 75 < degrees < 105 else "diagonal"


def flat_spectrum(lightness: Floats) -> bool:
    """White noise has as much energy in the fast half of its waves as area; surfaces have most in the slow half."""
    energy, across, down = spectrum(lightness)
    rows, columns = lightness.shape
    fast = np.hypot(across / columns, down / rows) > 0.25
    return float(energy[fast].sum()) > 0.5 * float(energy.sum())
