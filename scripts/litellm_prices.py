"""Reduce LiteLLM's price table to the models of the catalogue, as the fixture of `test_list_prices.py`.

    python scripts/litellm_prices.py model_prices_and_context_window_backup.json > litellm_prices.json

The table lies in the litellm wheel (MIT). Figures are kept as the digits LiteLLM prints, in USD per token; only token
prices of the tiers Tessera knows are kept. Neither the server nor the tests install litellm.
"""

import json
import re
import sys
from pathlib import Path

from tessera.catalog.models import load_models

KEPT = re.compile(
    r"(input_cost_per_token|output_cost_per_token|cache_read_input_token_cost|cache_creation_input_token_cost"
    r"|input_cost_per_image_token|output_cost_per_image_token|cache_read_input_image_token_cost)"
    r"(_above_[0-9]+k_tokens)?(_batches|_flex|_priority)?"
)


def main(path: str) -> None:
    """Prints one JSON object: model id → the price fields LiteLLM has for it."""
    table = json.loads(Path(path).read_text("utf-8"), parse_float=str)
    found = {}
    for model in load_models():
        entry = table.get(f"gemini/{model.id}") if model.provider == "gemini" else table.get(model.id)
        if entry is not None:
            prices = {key: str(value) for key, value in entry.items() if KEPT.fullmatch(key) and value is not None}
            if prices:
                found[model.id] = prices
    json.dump(found, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
