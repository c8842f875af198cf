"""Receipts and statements as a customer fetches and reads them."""

import http.client
import io
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pypdf import PdfReader

from payment_servers import Shop
from servers import Account


def fetch(shop: Shop, account: Account, path: str) -> tuple[dict[str, str], bytes]:
    """A file as it came."""
    address = urlsplit(shop.server.base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {account.key}"})
    reply = connection.getresponse()
    content = reply.read()
    assert reply.status == 200, content
    headers = {name.lower(): value for name, value in reply.getheaders()}
    connection.close()
    return headers, content


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def month() -> str:
    return f"{datetime.now(UTC):%Y-%m}"
