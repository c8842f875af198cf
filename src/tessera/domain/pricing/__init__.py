"""What a call costs: dated price rows, the operator's price book over them, one formula for quote and charge.

Always holds: prices are integer nano-dollars per million units; a model, tier or unit without a row is refused,
never guessed; `charge` is the only function that turns quantities into money, and no charge within a quote's maxima
exceeds `price_max` of the same row.
"""

from tessera.domain.pricing.book import OperatorRow, PriceBook
from tessera.domain.pricing.bounds import affordable_output_tokens, price_max
from tessera.domain.pricing.charge import Charge, ChargeLine, charge, charge_object
from tessera.domain.pricing.quote import Cheaper, Quote, QuotedImage, build_quote, cheaper_changes, quote_object
from tessera.domain.pricing.rows import PriceRow, Rates, discounted, row_version

__all__ = [
    "Charge",
    "ChargeLine",
    "Cheaper",
    "OperatorRow",
    "PriceBook",
    "PriceRow",
    "Quote",
    "QuotedImage",
    "Rates",
    "affordable_output_tokens",
    "build_quote",
    "charge",
    "charge_object",
    "cheaper_changes",
    "discounted",
    "price_max",
    "quote_object",
    "row_version",
]
