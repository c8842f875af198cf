"""What the storage takes from the machine it runs on, with what PostgreSQL adds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from tessera.adapters.storage.ledger.connected import Machine

Driver = type["psycopg.Connection[tuple[Any, ...]]"]


@dataclass(frozen=True)
class PostgresMachine(Machine):
    """`driver` is the class of the driver's connections; `pause` waits some seconds before something is tried again.

    `undisturbed_min` is after how many groups without another replica in between wallets are not locked beforehand.
    """

    driver: Driver = psycopg.Connection
    pause: Callable[[float], None] = time.sleep
    undisturbed_min: int = 16
