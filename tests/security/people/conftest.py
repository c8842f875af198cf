"""What the attacks on people share: a server with mail, two organizations full of objects, an identity provider."""

import time
from collections.abc import AsyncIterator, Iterator

import pytest

from identity_calls import ADA, SECONDS_MAX
from identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProviderStandIn
from people_calls import people
from people_objects import operator, two_organizations
from tessera.adapters.people.oidc import OidcProvider

__all__ = ["operator", "people", "two_organizations"]


@pytest.fixture
def idp() -> Iterator[IdentityProviderStandIn]:
    with IdentityProviderStandIn(person=dict(ADA)) as stand_in:
        yield stand_in


@pytest.fixture
async def provider(idp: IdentityProviderStandIn) -> AsyncIterator[OidcProvider]:
    opened = OidcProvider(
        "corp", idp.issuer, CLIENT_ID, CLIENT_SECRET, lambda: int(time.time()), seconds_max=SECONDS_MAX * 20
    )
    yield opened
    await opened.close()
