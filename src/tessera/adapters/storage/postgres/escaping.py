"""Text may hold NUL, which PostgreSQL does not store: it and the character that stands for it are escaped."""

ESCAPE = "\uffff"


def escape(text: str) -> str:
    """Text that PostgreSQL can store."""
    if "\0" not in text and ESCAPE not in text:
        return text
    return text.replace(ESCAPE, ESCAPE + "1").replace("\0", ESCAPE + "0")


def unescape(text: str) -> str:
    """What `escape` was given."""
    return text.replace(ESCAPE + "0", "\0").replace(ESCAPE + "1", ESCAPE) if ESCAPE in text else text
