"""Checks of single values, shared by the surfaces: each refuses by naming the field as the caller wrote it."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from tessera.domain.dialects.body import Body
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Detail, ImageOrigin, ImagePart, Tier

OUTPUT_CAP_MAX = 2**31 - 1
CHOICES_MAX = 128
URL_LENGTH_MAX = 8192
_DETAILS = {detail.value: detail for detail in Detail}
_TIERS = {
    "auto": None,
    "default": Tier.DEFAULT,
    "flex": Tier.FLEX,
    "priority": Tier.PRIORITY,
    "fast": Tier.PRIORITY,
}
Check = Callable[[Any, str], object]


def invalid(message: str, param: str) -> NoReturn:
    """Refuses a value."""
    raise TesseraError(ErrorCode.INVALID_REQUEST, message, param=param)


def unsupported(message: str, param: str) -> NoReturn:
    """Refuses a field, a value or a type that Tessera cannot price or pass on."""
    raise TesseraError(ErrorCode.UNSUPPORTED_PARAMETER, message, param=param)


def boolean(value: Any, param: str) -> bool:
    """True or false."""
    if type(value) is not bool:
        invalid(f"{param} must be true or false.", param)
    return value


def string(value: Any, param: str) -> str:
    """Any string."""
    if type(value) is not str:
        invalid(f"{param} must be a string.", param)
    return value


def named(value: Any, param: str) -> str:
    """A string with something in it."""
    if type(value) is not str or not value:
        invalid(f"{param} must be a non-empty string.", param)
    return value


def whole(low: int, high: int) -> Callable[[Any, str], int]:
    """A check for whole numbers of a range, ends included; 1.0, true and "1" are none."""

    def check(value: Any, param: str) -> int:
        if type(value) is not int or not low <= value <= high:
            invalid(f"{param} must be a whole number from {low} to {high}.", param)
        return value

    return check


def number(value: Any, param: str) -> object:
    """A finite number. It is passed on as written and never computed with."""
    if type(value) is not int and not (type(value) is float and math.isfinite(value)):
        invalid(f"{param} must be a number.", param)
    return value


def obj(value: Any, param: str) -> dict[str, Any]:
    """An object."""
    if type(value) is not dict:
        invalid(f"{param} must be an object.", param)
    return value


def image_url(value: Any, param: str) -> dict[str, Any]:
    """The object an image's address stands in; the address itself in its place is a frequent mistake."""
    if type(value) is not dict:
        invalid(f'{param} must be an object, as in {{"url": "https://…"}}.', param)
    return value


def array(value: Any, param: str) -> list[Any]:
    """A list."""
    if type(value) is not list:
        invalid(f"{param} must be a list.", param)
    return value


def strings(value: Any, param: str) -> list[str]:
    """A list of strings."""
    return [string(item, f"{param}[{index}]") for index, item in enumerate(array(value, param))]


def string_map(value: Any, param: str) -> dict[str, str]:
    """An object whose values are strings."""
    return {key: string(item, f"{param}.{key[:64]}") for key, item in obj(value, param).items()}


def stop(value: Any, param: str) -> object:
    """One stop string or a list of them."""
    return value if type(value) is str else strings(value, param)


def refused(reason: str) -> Check:
    """A check that no value passes."""

    def check(_: Any, param: str) -> NoReturn:
        unsupported(f"{param} is not supported: {reason}", param)

    return check


def only(*allowed: object, reason: str) -> Check:
    """A check that only these values pass."""

    def check(value: Any, param: str) -> object:
        if type(value) not in (str, bool) or value not in allowed:
            unsupported(f"{param} is not supported with this value: {reason}", param)
        return value

    return check


def fields(owner: Mapping[str, Any], checks: Mapping[str, Check], prefix: str = "") -> None:
    """Checks every field of an object; a field without a check is refused by name, null counts as left out."""
    for name, value in owner.items():
        check = checks.get(name)
        if check is not None:
            if value is not None:
                check(value, prefix + name)
        elif value is not None:
            field = prefix + name[:200]
            unsupported(f"{field} is not a field that Tessera knows to be free of cost: leave it out.", field)


def anything(value: Any, _: str) -> object:
    """No check: harmless, and the provider's to judge."""
    return value


def service_tier(value: Any, param: str) -> Tier | None:
    """The tier asked for; None for `auto`."""
    if type(value) is str and value in _TIERS:
        return _TIERS[value]
    raise TesseraError(
        ErrorCode.UNSUPPORTED_SERVICE_TIER,
        "service_tier must be one of auto, default, flex, priority or fast.",
        param=param,
    )


def output_cap(value: Any, param: str) -> int:
    """A limit on output tokens."""
    if type(value) is not int or not 1 <= value <= OUTPUT_CAP_MAX:
        invalid(f"{param} must be a whole number of tokens, at least 1.", param)
    return value


def breakpoint_of_cache(value: Any, param: str) -> None:
    """A prompt cache breakpoint of the lifetime that is priced."""
    fields(obj(value, param), _BREAKPOINT, f"{param}.")


def thinking_switch(value: Any, param: str) -> None:
    """Whether an open model is to think. Other words for a chat template may add to the prompt what nobody counted."""
    fields(obj(value, param), _THINKING_SWITCH, f"{param}.")


_THINKING_SWITCH: Mapping[str, Check] = {"enable_thinking": boolean, "thinking": boolean}


def reasoning_details(value: Any, param: str) -> None:
    """Earlier reasoning as OpenRouter writes it; an entry that is only an id stands for what somebody has stored."""
    for index, detail in enumerate(array(value, param)):
        at = f"{param}[{index}]"
        if not any(obj(detail, at).get(field) for field in ("text", "summary", "data", "signature")):
            unsupported(f"{at} is reasoning of no known size: send its text, summary or data, or leave it out.", at)


def extra_content(value: Any, param: str) -> None:
    """What Gemini puts beside an answer and wants back: the signature of its thoughts."""
    fields(obj(value, param), {"google": obj}, f"{param}.")
    fields(value.get("google") or {}, {"thought_signature": string}, f"{param}.google.")


CACHE_TTL = only("30m", reason="only a cache lifetime of 30m is priced.")
_BREAKPOINT: Mapping[str, Check] = {"mode": string, "ttl": CACHE_TTL}
CACHE_OPTIONS: Mapping[str, Check] = {"mode": string, "ttl": CACHE_TTL}


def cache_options(value: Any, param: str) -> None:
    """Prompt cache options of the lifetime that is priced."""
    fields(obj(value, param), CACHE_OPTIONS, f"{param}.")


def image(body: Body, index: int, url: Any, detail: Any, param: str, url_param: str) -> ImagePart:
    """One image by address or data URL. Raises [invalid_image_url, invalid_base64_image, unsupported_detail]."""
    looked = _detail(detail, param)
    if type(url) is not str:
        invalid(f"{url_param} must be a string.", url_param)
    if url[:5].lower() == "data:":
        found = body.data_url(url)
        if found is None or not found[1]:
            raise TesseraError(
                ErrorCode.INVALID_BASE64_IMAGE,
                "A data URL must be written as data:image/png;base64, followed by the image in base64.",
                param=url_param,
            )
        return ImagePart(
            index=index,
            origin=ImageOrigin.DATA,
            media_type=found[0],
            data=found[1],
            is_base64=found[2],
            detail=looked,
            param=url_param,
        )
    scheme = url[:8].lower()
    if not (scheme == "https://" or scheme.startswith("http://")) or len(url) > URL_LENGTH_MAX:
        raise TesseraError(
            ErrorCode.INVALID_IMAGE_URL,
            f"{url_param} must be an http or https address of at most {URL_LENGTH_MAX} characters, or a data URL.",
            param=url_param,
        )
    return ImagePart(index=index, origin=ImageOrigin.URL, url=url, detail=looked, param=url_param)


def _detail(value: Any, param: str) -> Detail:
    if value is None:
        return Detail.AUTO
    if type(value) is str and value in _DETAILS:
        return _DETAILS[value]
    raise TesseraError(
        ErrorCode.UNSUPPORTED_DETAIL, "detail must be one of low, high, auto or original.", param=f"{param}.detail"
    )


def file_image(index: int, file_id: Any, detail: Any, param: str) -> ImagePart:
    """One image that was uploaded before."""
    return ImagePart(
        index=index,
        origin=ImageOrigin.FILE,
        url=named(file_id, f"{param}.file_id"),
        detail=_detail(detail, param),
        param=f"{param}.file_id",
    )
