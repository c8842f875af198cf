"""Candidates for a schema's numbers and strings: ranges, steps, formats, lengths; plain words where nothing is asked.

Candidates are good guesses; `schema_checks` decides.
"""

import ipaddress
import math
import re
from collections.abc import Callable, Iterator
from enum import Enum
from fractions import Fraction
from random import Random
from typing import Any

_WORDS = (
    "amber",
    "basil",
    "cedar",
    "ember",
    "fable",
    "grove",
    "harbor",
    "indigo",
    "lantern",
    "meadow",
    "opal",
    "river",
)


def _hex(random: Random, digits: int) -> str:
    return f"{random.getrandbits(4 * digits):0{digits}x}"


def _date(random: Random) -> str:
    return f"20{random.randint(10, 29)}-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}"


def _time(random: Random) -> str:
    return f"{random.randint(0, 23):02d}:{random.randint(0, 59):02d}:{random.randint(0, 59):02d}Z"


def _uuid(random: Random) -> str:
    return f"{_hex(random, 8)}-{_hex(random, 4)}-4{_hex(random, 3)}-a{_hex(random, 3)}-{_hex(random, 12)}"


def _word(random: Random) -> str:
    return random.choice(_WORDS)


FORMATS: dict[str, Callable[[Random], str]] = {
    "date-time": lambda r: f"{_date(r)}T{_time(r)}",
    "date": _date,
    "time": _time,
    "duration": lambda r: f"P{r.randint(1, 9)}DT{r.randint(1, 23)}H",
    "email": lambda r: f"{_word(r)}@example.com",
    "idn-email": lambda r: f"{_word(r)}@example.com",
    "hostname": lambda r: f"{_word(r)}.example.com",
    "idn-hostname": lambda r: f"{_word(r)}.example.com",
    "ipv4": lambda r: f"192.0.2.{r.randint(1, 254)}",
    "ipv6": lambda r: f"2001:db8::{_hex(r, 3).lstrip('0') or '1'}",
    "uuid": _uuid,
    "uri": lambda r: f"https://example.com/{_word(r)}",
    "iri": lambda r: f"https://example.com/{_word(r)}",
    "url": lambda r: f"https://example.com/{_word(r)}",
    "uri-reference": lambda r: f"/{_word(r)}",
    "iri-reference": lambda r: f"/{_word(r)}",
    "uri-template": lambda r: f"/{_word(r)}/{{id}}",
    "json-pointer": lambda r: f"/{_word(r)}",
    "relative-json-pointer": lambda r: f"{r.randint(0, 3)}/{_word(r)}",
    "regex": lambda r: f"^{_word(r)}$",
    "color": lambda r: f"#{_hex(r, 6)}",
}
"""Formats that validators check. Any other format is an annotation, as the specification has it."""


def format_texts(name: str, random: Random, least: int, most: int | None) -> Iterator[str]:
    """Texts of one of `FORMATS` within the lengths, where there are any."""
    for _ in range(8):
        text = FORMATS[name](random)
        if len(text) < least and name in ("email", "hostname", "idn-email", "idn-hostname"):
            text = "a" * min(least - len(text), 50) + text
        elif len(text) < least and name.startswith(("ur", "ir", "json-pointer")):
            text += "a" * (least - len(text))
        if least <= len(text) and (most is None or len(text) <= most):
            yield text
    for short in _SHORTEST.get(name, ()):
        if least <= len(short) and (most is None or len(short) <= most):
            yield short


_SHORTEST = {
    "email": ("a@b.co",),
    "idn-email": ("a@b.co",),
    "hostname": ("a.co", "a"),
    "idn-hostname": ("a.co", "a"),
    "ipv4": ("1.1.1.1", "192.168.100.100"),
    "ipv6": ("::1", "::", "2001:0db8:0000:0000:0000:0000:0000:0001"),
    "uri": ("a:b",),
    "iri": ("a:b",),
    "uri-reference": ("/", ""),
    "iri-reference": ("/", ""),
    "uri-template": ("/", ""),
    "json-pointer": ("/a", ""),
    "relative-json-pointer": ("0",),
    "regex": ("a", ""),
    "duration": ("P1D",),
    "date-time": ("2025-01-02T03:04:05.000001Z",),
}


def plain_texts(name: str, random: Random, least: int, most: int | None) -> Iterator[str]:
    """Plain words, `name` first, within the lengths."""
    words = [name.replace("_", " ").strip()] if name.strip() else []
    text = " ".join([*words, *random.sample(_WORDS, 2)])
    if len(text) < least:
        text = (text + " ") * (least // (len(text) + 1) + 1)
        text = text[:least].rstrip().ljust(least, "a")
    if most is not None:
        text = text[:most].rstrip().ljust(least, "a")
    yield text
    yield "a" * max(least, 1) if most != 0 else ""


class Strictness(Enum):
    """How validators look at `format`: not at all, at a glance (an `@` makes an address), or by its grammar."""

    OFF = "off"
    LOOSE = "loose"
    STRICT = "strict"


def holds_format(name: str, text: str, strictness: Strictness) -> bool:
    """Whether a text is of one of `FORMATS`; True for any other name."""
    if strictness is Strictness.OFF or name not in FORMATS:
        return True
    if strictness is Strictness.LOOSE:
        return re.search(_GLANCES.get(name, ""), text) is not None
    if name in ("ipv4", "ipv6"):
        try:
            return ipaddress.ip_address(text).version == int(name[-1])
        except ValueError:
            return False
    return re.fullmatch(_SHAPES.get(name, r"(?s).*"), text, re.ASCII) is not None


_GLANCES = {
    "email": "@",
    "idn-email": "@",
    "date": r"\d",
    "time": r"\d",
    "date-time": r"\d",
    "duration": "P",
    "ipv4": r"\d",
    "ipv6": "[0-9a-f:]",
    "uuid": "[0-9a-fA-F]",
    "uri": ":",
    "iri": ":",
    "url": ":",
    "hostname": r"\w",
    "idn-hostname": r"\w",
    "relative-json-pointer": r"\d",
}
_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
_HOST = r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?)*"
_SHAPES = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": r"P(\d+[YMWD])*(T(\d+[HMS])+)?",
    "email": rf"[0-9A-Za-z._+-]+@{_HOST}",
    "idn-email": rf"[0-9A-Za-z._+-]+@{_HOST}",
    "hostname": _HOST,
    "idn-hostname": _HOST,
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "uri": r"[a-zA-Z][0-9A-Za-z+.-]*:[^\s]+",
    "iri": r"[a-zA-Z][0-9A-Za-z+.-]*:[^\s]+",
    "url": r"[a-zA-Z][0-9A-Za-z+.-]*:[^\s]+",
    "uri-reference": r"[^\s]*",
    "iri-reference": r"[^\s]*",
    "uri-template": r"[^\s]*",
    "json-pointer": r"(/[^\s~]*)*",
    "relative-json-pointer": r"\d+(#|(/[^\s~]*)*)",
    "color": r"#[0-9a-fA-F]{6}",
}


def numbers(kind: str, plain: list[dict[str, Any]], random: Random, *, invent: bool) -> Iterator[int | float]:
    """Numbers within every range and on every step of the schemas; 0 first when nothing is to be invented."""
    low = max((Fraction(s[k]) for s in plain for k in ("minimum", "exclusiveMinimum") if k in s), default=None)
    high = min((Fraction(s[k]) for s in plain for k in ("maximum", "exclusiveMaximum") if k in s), default=None)
    steps = [Fraction(str(schema["multipleOf"])) for schema in plain if "multipleOf" in schema]
    step = _common_multiple([*steps, *([Fraction(1)] if kind == "integer" or not steps else [])])
    start = low if low is not None else high - 100 * step if high is not None and high < 0 else Fraction(0)
    end = high if high is not None else start + 100 * step
    first, last = math.ceil(start / step), math.floor(end / step)
    picks: list[Fraction] = [] if invent else [Fraction(0)]
    if first <= last:
        drawn = [random.randint(first, last) for _ in range(8)] if invent else []
        picks += [place * step for place in [*drawn, *range(first, min(first + 8, last + 1)), last]]
    if kind == "number" and not steps:
        picks += [(start + end) / 2, start + (end - start) / 3, start, end]
    for pick in picks or [Fraction(math.ceil(start)) if kind == "integer" else start]:
        yield pick.numerator if pick.denominator == 1 else float(pick)


def _common_multiple(steps: list[Fraction]) -> Fraction:
    result = steps[0]
    for step in steps[1:]:
        result = Fraction(
            math.lcm(result.numerator * step.denominator, step.numerator * result.denominator),
            result.denominator * step.denominator,
        )
    return result
