"""What `tessera quote` prints: one line per image and model, from a size or from a JSON line. No network, no server."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import BinaryIO

import msgspec

from tessera.adapters.tokenizers import counter_for
from tessera.catalog.catalogue import Catalogue
from tessera.catalog.models import Model
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.pricing.book import PriceBook
from tessera.domain.pricing.bounds import price_max
from tessera.domain.pricing.charge import charge_nanos
from tessera.domain.pricing.rows import PriceRow
from tessera.domain.quantities import Quantities
from tessera.domain.request import Detail, InferenceRequest, Message, Surface, Tier
from tessera.domain.tokens import ImageRules, Span, count_image, count_text

LINE_BYTES_MAX = 16 * 1024 * 1024
_READ_BYTES = 64 * 1024
_CACHED_MAX = 4096
_TIERS = {**{tier.value: tier for tier in Tier}, "auto": Tier.DEFAULT, "fast": Tier.PRIORITY}
_NO_TEXT = Span(0, 0)


class QuoteAsk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of `--jsonl`: an image's size, and what the command's options say where it is silent."""

    width: int
    height: int
    model: str | None = None
    detail: Detail | None = None
    as_of: date | None = None
    prompt: str | None = None
    max_output_tokens: int | None = None
    tier: str | None = None


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """One image at one model. Fields and their order are the command's contract.

    `image_tokens` and `text_tokens` are predicted counts. `price_max_nanos` covers the maxima and the whole output
    allowed (the model's default where none is stated); `price_predicted_nanos` the predicted input, and the output only
    where its length is stated, because nobody knows how long an answer gets. Both are null when the model has no price.
    """

    model: str
    detail: str
    detail_used: str
    width: int
    height: int
    rule: str
    sized_width: int
    sized_height: int
    patches: int | None
    tiles: int | None
    multiplier: str
    image_tokens: int
    image_tokens_max: int
    text_tokens: int
    price_max_nanos: int | None
    price_predicted_nanos: int | None
    confidence: str
    rule_source: str
    valid_from: str


class _Terms(msgspec.Struct, frozen=True):
    """What is the same for every line of one model, tier and day. `prices` remembers prices by counts: many sizes
    have the same counts."""

    model: Model
    rules: ImageRules
    row: PriceRow | None
    prices: dict[tuple[int, int, int, int, int | None], tuple[int | None, int | None]] = {}


class Quoter:
    """Quotes images against one catalogue and price book, remembering what does not change from line to line."""

    def __init__(
        self, catalogue: Catalogue, book: PriceBook, defaults: QuoteAsk, providers: Mapping[str, str] | None = None
    ) -> None:
        """`defaults` fills what an ask leaves out; its detail, day and tier must be set. `providers` names who serves a
        canonical model's calls, where that is not its own provider."""
        self._providers = providers or {}
        self._catalogue = catalogue
        self._book = book
        self._defaults = defaults
        self._terms: dict[tuple[str, str, date], _Terms] = {}
        self._texts: dict[tuple[str, str], Span] = {}

    def quote(self, ask: QuoteAsk) -> QuoteLine:
        """One line. Raises TesseraError for whatever cannot be quoted."""
        defaults = self._defaults
        model_id = ask.model or defaults.model
        if model_id is None:
            raise TesseraError(
                ErrorCode.INVALID_REQUEST, "model is missing: name one in the line, or one for all lines with --model."
            )
        terms = self.terms(model_id, ask.tier or defaults.tier or "", ask.as_of or defaults.as_of or date.min)
        count = count_image(terms.rules, ask.width, ask.height, ask.detail or defaults.detail or Detail.AUTO)
        prompt = ask.prompt if ask.prompt is not None else defaults.prompt
        text = _NO_TEXT if prompt is None else self._text(terms.model, prompt)
        stated = ask.max_output_tokens if ask.max_output_tokens is not None else defaults.max_output_tokens
        image = count.tokens
        key = (text.predicted, text.max, image.predicted, image.max, stated)
        prices = terms.prices.get(key)
        if prices is None:
            if len(terms.prices) >= _CACHED_MAX:
                terms.prices.clear()
            prices = terms.prices[key] = _prices(terms, text, image, stated)
        most, predicted = prices
        return QuoteLine(
            model=model_id,
            detail=count.detail,
            detail_used=count.detail_used,
            width=count.width,
            height=count.height,
            rule=count.rule,
            sized_width=count.sized_width,
            sized_height=count.sized_height,
            patches=count.patches,
            tiles=count.tiles,
            multiplier=count.multiplier,
            image_tokens=count.tokens.predicted,
            image_tokens_max=count.tokens.max,
            text_tokens=text.predicted,
            price_max_nanos=most,
            price_predicted_nanos=predicted,
            confidence=count.confidence.value,
            rule_source=count.rule_source,
            valid_from=count.valid_from,
        )

    def terms(self, model_id: str, tier: str, as_of: date) -> _Terms:
        """Model, image rules and price row; the price is None when the model has none on that day."""
        key = (model_id, tier, as_of)
        found = self._terms.get(key)
        if found is None:
            if tier not in _TIERS:
                raise TesseraError(
                    ErrorCode.UNSUPPORTED_SERVICE_TIER, f"There is no tier {tier!r}. Tiers: {', '.join(_TIERS)}."
                )
            model = self._catalogue.model(model_id)
            rules = self._catalogue.image_rules(model_id, as_of)
            found = _Terms(model, rules, self._price_row(model, _TIERS[tier], as_of))
            if len(self._terms) >= _CACHED_MAX:
                self._terms.clear()
            self._terms[key] = found
        return found

    def _price_row(self, model: Model, tier: Tier, as_of: date) -> PriceRow | None:
        provider = self._providers.get(model.canonical, model.provider)
        try:
            return self._book.price(model.id, tier, provider=provider, as_of=as_of)
        except TesseraError as error:
            if error.code is ErrorCode.MODEL_NOT_FOUND:  # it exists, or the catalogue had refused it; it has no price
                return None
            raise

    def _text(self, model: Model, prompt: str) -> Span:
        """The tokens of a prompt as the one user message of a call."""
        key = (model.id, prompt)
        found = self._texts.get(key)
        if found is None:
            framing = self._catalogue.framing(model.id)
            surface = Surface.CHAT if Surface.CHAT in model.surfaces or not model.surfaces else model.surfaces[0]
            request = InferenceRequest(
                surface=surface, model=model.id, messages=(Message(role="user", texts=(prompt,)),)
            )
            found, _ = count_text(request, framing, counter_for(framing.encoding))
            if len(self._texts) >= _CACHED_MAX:
                self._texts.clear()
            self._texts[key] = found
        return found


def _prices(terms: _Terms, text: Span, image: Span, stated: int | None) -> tuple[int | None, int | None]:
    """(maximum, predicted) in nano-dollars, or None twice. Raises [invalid_request] for an impossible output cap."""
    model, row = terms.model, terms.row
    if stated is not None and not 1 <= stated <= (model.output_max or 2**31):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"max_output_tokens is {stated}; for {model.id} it lies between 1 and {model.output_max or 2**31}.",
            param="max_output_tokens",
        )
    if row is None:
        return None, None
    output_cap = model.output_default if stated is None else stated
    most = price_max(row, text.max + image.max, image.max, output_cap)
    predicted = Quantities(
        input_tokens=text.predicted + image.predicted,
        input_image_tokens=image.predicted,
        output_tokens=stated or 0,
    )
    return most, charge_nanos(row, predicted)


def quote_json_lines(quoter: Quoter, source: BinaryIO) -> Iterator[bytes]:
    """Answers JSON lines in order, a chunk of whole lines at a time, as they arrive.

    A line that cannot be quoted gives `{"error": {code, message}}` and the rest go on.
    """
    decode = msgspec.json.Decoder(QuoteAsk).decode
    encode = msgspec.json.Encoder().encode
    quote = quoter.quote
    for lines in read_lines(source):
        answers = []
        for line in lines:
            try:
                answers.append(encode(quote(decode(line))))
            except TesseraError as error:
                answers.append(_error(error.code, error.message))
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                answers.append(_error(ErrorCode.INVALID_REQUEST, f"This line cannot be quoted: {error}"))
        answers.append(b"")
        yield b"\n".join(answers)


def read_lines(source: BinaryIO) -> Iterator[Iterable[bytes]]:
    """The lines of a stream, as many at a time as have arrived; a line over the limit comes as an empty one."""
    rest: list[bytes] = []
    rest_bytes = 0
    read = getattr(source, "read1", source.read)
    while chunk := read(_READ_BYTES):
        first, newline, following = chunk.partition(b"\n")
        rest_bytes += len(first)
        rest.append(first if rest_bytes <= LINE_BYTES_MAX else b"")
        if not newline:
            continue
        whole = b"" if rest_bytes > LINE_BYTES_MAX else b"".join(rest)
        *lines, last = following.split(b"\n")
        rest, rest_bytes = [last], len(last)
        yield [whole, *lines]
    if rest_bytes > 0:
        yield [b"" if rest_bytes > LINE_BYTES_MAX else b"".join(rest)]


def _error(code: ErrorCode, message: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code.value, "message": message}})
