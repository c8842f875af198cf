"""Every kind of fault by name, and how likely it is where it can happen."""

BEFORE_HEAD = (
    "connection refused",
    "first byte timeout",
    "adapter breaks",
    "provider 400",
    "provider 401",
    "provider 402",
    "provider 429",
    "provider 500",
    "provider 503",
    "provider 529",
)
"""What a provider does instead of answering."""

BODY_FAULTS = (
    "not JSON",
    "cut off",
    "ends early",
    "gap timeout",
    "error event",
    "endless",
    "empty answer",
    "silent end",
)
USAGE_FAULTS = ("usage missing", "usage absurd", "usage zero", "usage above the cap", "usage doubled", "usage late")
TIER_FAULTS = ("tier dearer", "tier unknown")

COMMIT_FAULTS = ("killed before the commit", "killed after the commit", "commit fails", "commit answer lost")
TURN_FAULTS = (
    *COMMIT_FAULTS,
    "database locked",
    "disk full",
    "database read-only",
    "disk I/O error",
    "constraint refuses",
    "killed inside a transaction",
)
"""What goes wrong in one turn of the ledger's writer."""

WEATHERS = ("database locked", "disk full", "database read-only", "commit fails", "database cannot be opened")
"""What goes wrong with the disk for a while."""

KINDS: dict[str, float] = {
    **dict.fromkeys(BEFORE_HEAD, 0.12),
    **dict.fromkeys(BODY_FAULTS, 0.1),
    **dict.fromkeys(USAGE_FAULTS, 0.15),
    **dict.fromkeys(TIER_FAULTS, 0.15),
    **dict.fromkeys(TURN_FAULTS, 0.02),
    "read fails": 0.05,
    "database cannot be opened": 0.1,
    "outage": 0.02,
    "outbox unwritable": 0.05,
    "disk slow": 0.05,
    "provider slow": 0.1,
    "client leaves": 0.4,
    "client leaves at a piece": 0.05,
    "client leaves at a step": 0.01,
    "client slow": 0.05,
    "image gone": 0.3,
    "process killed": 0.6,
    "process killed at a step": 0.0005,
    "torn outbox line": 0.5,
    "graceful restart": 0.6,
    "clock jumps forward": 0.6,
    "clock jumps back": 0.6,
    "credit added beside": 0.9,
    "key revoked beside": 0.5,
    "command killed": 0.02,
    "lot expires": 0.8,
    "organization suspended beside": 0.3,
    "organization resumed beside": 0.6,
    "limits set beside": 0.6,
    "key revoked now beside": 0.4,
}
"""How likely each thing is where it can happen, in a run that has it at all."""

_NOT_FIRED_BY_NAME = {"outage", "client leaves", "client leaves at a piece", "client leaves at a step"}
FAULTS = (
    {kind for kind in KINDS if kind not in _NOT_FIRED_BY_NAME}
    | set(WEATHERS)
    | {"client leaves before the head", "client leaves mid-stream", "same key again", "reply replayed"}
    | {"losses past the limit", "call cut"}
)
"""Every kind of fault; the tests show that each one fires."""

POSTGRES_TURN_FAULTS = (
    *COMMIT_FAULTS,
    "connection killed",
    "deadlock",
    "lock timeout",
    "statement timeout",
    "serialization failure",
    "disk full",
    "database read-only",
    "constraint refuses",
    "killed inside a transaction",
)
"""What goes wrong in one turn of the ledger's writer on PostgreSQL."""

POSTGRES_WEATHERS = ("too many connections", "server refuses", "disk full", "database read-only", "commit fails")
"""What goes wrong with PostgreSQL for a while, as one replica sees it."""

_RESTARTS = {"server restarted": 0.5, "server crashed": 0.5}

POSTGRES_KINDS: dict[str, float] = {
    **{kind: chance for kind, chance in KINDS.items() if kind not in TURN_FAULTS},
    **dict.fromkeys(POSTGRES_TURN_FAULTS, 0.02),
    **_RESTARTS,
}
POSTGRES_FAULTS = (FAULTS - {*TURN_FAULTS, *WEATHERS}) | {
    *POSTGRES_TURN_FAULTS,
    *POSTGRES_WEATHERS,
    *_RESTARTS,
    "database cannot be opened",
}

DISK_FAULTS = {
    *TURN_FAULTS,
    *WEATHERS,
    *POSTGRES_TURN_FAULTS,
    *POSTGRES_WEATHERS,
    *_RESTARTS,
    "read fails",
    "disk slow",
}
"""After these, promises about time pause."""
