"""The catalogue and the prices every run works with: the shipped ones, without any configuration."""

import functools
from datetime import date

from tessera.catalog.catalogue import Catalogue
from tessera.domain.pricing.book import PriceBook
from tessera.settings import load_settings
from tessera.settings.rows import catalogue_of, price_book_of

AS_OF = date(2026, 11, 19)
"""A day of every run; no price of a simulated model changes within a day of it."""


@functools.cache
def rules() -> tuple[Catalogue, PriceBook]:
    """Read once, shared by all runs."""
    settings = load_settings({})
    catalogue = catalogue_of(settings)
    return catalogue, price_book_of(settings, catalogue)
