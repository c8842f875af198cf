"""What is wrong with a PostgreSQL database below its rows: constraints that do not hold or are not checked."""

from collections.abc import Iterator
from typing import Any

_UNCHECKED = """
SELECT 'constraint ' || conname || ' of ' || conrelid::regclass || ' is not checked' FROM pg_constraint
WHERE NOT convalidated AND connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index ' || indexrelid::regclass || ' is not valid' FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT (indisvalid AND indisready) AND relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger ' || tgname || ' of ' || tgrelid::regclass || ' is switched off' FROM pg_trigger
WHERE tgenabled <> 'O' AND (SELECT relnamespace FROM pg_class WHERE oid = tgrelid) = 'public'::regnamespace
"""

_REFERENCES = """
SELECT conrelid::regclass::text, confrelid::regclass::text,
    (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]),
    (SELECT attname FROM pg_attribute WHERE attrelid = confrelid AND attnum = confkey[1])
FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace ORDER BY 1, 3
"""

# Its names come out of the catalogue of the database.
_MISSING = """
SELECT '{table}', '{parent}', count(*) FROM {table} WHERE {column} IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM {parent} WHERE {parent}.{key} = {table}.{column})
"""


def damage(connection: Any) -> Iterator[str]:
    """Constraints, indexes and triggers that do not act, and rows that point to none."""
    for (text,) in connection.execute(_UNCHECKED).fetchall():
        yield text
    # One statement for all: planning them one by one takes longer than running them on a small ledger.
    missing = " UNION ALL ".join(
        _MISSING.format(table=table, parent=parent, column=column, key=key)
        for table, parent, column, key in connection.execute(_REFERENCES).fetchall()
    )
    for table, parent, count in connection.execute(missing).fetchall():
        if count:
            yield f"{count} rows of {table} point to a {parent} that is not there"
