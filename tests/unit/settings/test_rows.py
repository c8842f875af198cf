"""Configured rows become models and prices, exactly or not at all."""

from datetime import date
from pathlib import Path

import pytest

from tessera.domain.pricing import PriceBook
from tessera.domain.request import Tier
from tessera.settings import SettingsError, load_settings
from tessera.settings.rows import catalogue_of, price_book_of

TODAY = date(2026, 11, 22)


HOLDS = '[[price]]\nmodel = "gpt-4o"\ninput = "1"\noutput = "1"\n'


def book(tmp_path: Path, text: str) -> PriceBook:
    (tmp_path / "t.toml").write_text(text)
    settings = load_settings({}, config=tmp_path / "t.toml")
    return price_book_of(settings, catalogue_of(settings))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[prices]\ndiscount_percent = "a third"', "prices.discount_percent"),
        ('[prices]\ndiscount_percent = "100.01"', "at most 100 percent"),
        ('[prices]\ndiscount_percent = "1.234"', "is not a percentage"),
        ('[[price]]\nmodel = "gpt-4o"\ninput = "1"', r"price\[0\]: .*`output` is missing"),
        ('[[price]]\nmodel = "gpt-4o"\ninput = "1e3"\noutput = "1"', r"price\[0\].input"),
        ('[[cost]]\nmodel = "gpt-4o"\ninput = "-1"\noutput = "1"', r"cost\[0\].input"),
        ('[[price]]\nmodel = "gpt-4o"', r"price\[0\]: .*rates"),
        ('[[price]]\ninput = "1"\noutput = "1"', r"price\[0\]: .*model"),
        ('[[price]]\nmodel = "no-such-model"\ndiscount_percent = "1"', r"price\[0\].model"),
        ('[[price]]\nmodel = "gpt-4o"\ninput = "1"\noutput = "1"\ndiscount_percent = "1"', r"price\[0\]: .*not both"),
        ('[[cost]]\norganization = "acme"\ndiscount_percent = "1"', r"cost\[0\].organization"),
        ('[[cost]]\nvolume_from = "1"\ndiscount_percent = "1"', r"cost\[0\].volume_from"),
        ('[[price]]\nvolume_from = "-1"\ndiscount_percent = "1"', r"price\[0\].volume_from"),
        ('[[price]]\nvolume_from = "1e3"\ndiscount_percent = "1"', r"price\[0\].volume_from"),
        (HOLDS + 'valid_from = "2026-12-02"\nvalid_until = "2026-12-01"', r"price\[0\].valid_until: .*on no day"),
        (HOLDS + 'valid_from = "2026-12-01"\nvalid_until = "2026-12-01"', r"price\[0\].valid_until: .*on no day"),
        (
            '[[price]]\ndiscount_percent = "1"\n[price.above]\ntokens = 9\ninput = "1"\noutput = "1"',
            r"price\[0\].above",
        ),
        (HOLDS + '[price.above]\ntokens = -1\ninput = "1"\noutput = "1"', r"price\[0\].above.tokens"),
        ('[[model]]\nid = "gpt-4o"', "model: .*gpt-4o"),
        ('[[model]]\nid = "m"\noutput_max = 50\noutput_default = 51', r"model\[0\]: .*output_default"),
        ('[[model]]\nid = "m"\nlike = "gpt-4o"\nimage_tokens_max = 3', r"model\[0\]: .*not both"),
        ('[[model]]\nid = "m"\ncontext_max = 0', r"model\[0\]: .*context_max"),
    ],
)
def test_a_row_that_cannot_hold_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        book(tmp_path, text)


def test_thirty_percent_off_gpt_52_pro_is_the_founding_price(tmp_path: Path) -> None:
    rates = book(tmp_path, '[prices]\ndiscount_percent = "30"').price("gpt-5.2-pro", Tier.DEFAULT, as_of=TODAY).rates
    assert (rates.input, rates.output) == (14_700_000_000, 117_600_000_000)


def test_a_negative_discount_is_a_markup(tmp_path: Path) -> None:
    rates = book(tmp_path, '[prices]\ndiscount_percent = "-12.5"').price("gpt-5.2-pro", Tier.DEFAULT, as_of=TODAY).rates
    assert rates.input == 23_625_000_000


def test_a_price_holds_from_its_first_day(tmp_path: Path) -> None:
    found = book(tmp_path, '[[price]]\nmodel = "gpt-4o"\ninput = "1"\noutput = "2"\nvalid_from = "2026-12-01"')
    before = found.price("gpt-4o", Tier.DEFAULT, as_of=date(2026, 11, 30)).rates
    after = found.price("gpt-4o", Tier.DEFAULT, as_of=date(2026, 12, 1)).rates
    assert (after.input, after.output) == (10**9, 2 * 10**9)
    assert before.input != after.input


def test_a_price_above_a_threshold_is_for_the_whole_request(tmp_path: Path) -> None:
    text = '[[price]]\nmodel = "gpt-4o"\ninput = "1"\noutput = "2"\nabove = { tokens = 10, input = "3", output = "4" }'
    row = book(tmp_path, text).price("gpt-4o", Tier.DEFAULT, as_of=TODAY)
    assert row.rates_for(10).input == 10**9
    assert row.rates_for(11).input == 3 * 10**9


def test_a_configured_model_without_a_price_is_disabled(tmp_path: Path) -> None:
    assert book(tmp_path, '[[model]]\nid = "m"\nlike = "qwen2.5-vl"').tiers("m", TODAY) == ()


def test_a_price_by_volume_holds_from_the_dollars_it_names(tmp_path: Path) -> None:
    found = book(tmp_path, '[[price]]\nvolume_from = "1000.50"\ndiscount_percent = "10"')
    assert found.volume_steps == (0, 1_000_500_000_000)
    assert found.price("gpt-4o", Tier.DEFAULT, as_of=TODAY, volume_nanos=1_000_500_000_000).rates.input == 2_250_000_000
