"""The catalogue and the prices a run works with: the shipped ones, or an operator's over them."""

import functools
import tempfile
from datetime import date
from pathlib import Path

from tessera.catalog.catalogue import Catalogue
from tessera.domain.pricing.book import PriceBook
from tessera.settings import load_settings
from tessera.settings.rows import catalogue_of, price_book_of

AS_OF = date(2026, 11, 19)
"""A day of every run; no price of a simulated model changes within a day of it."""

_OPERATOR = """
[prices]
discount_percent = "30"

[[provider]]
name = "first"
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"

[[provider]]
name = "second"
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"

[[price]]
model = "gpt-4o"
provider = "second"
input = "3.10"
output = "14.30"

[[price]]
model = "gpt-4o"
tier = "priority"
input = "2.20"
output = "9.90"

[[cost]]
model = "gpt-4o"
provider = "second"
input = "1.10"
output = "4.30"
"""


@functools.cache
def rules(operator: bool) -> tuple[Catalogue, PriceBook]:
    """Read once, shared by all runs; with an operator's own prices, costs and discount, or the list's."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "tessera.toml"
        config.write_text(_OPERATOR if operator else "")
        settings = load_settings({}, config=config)
    catalogue = catalogue_of(settings)
    return catalogue, price_book_of(settings, catalogue)
