"""People over HTTP: signing up and in with a session cookie, and everything a member does in an organization.

Owns doors (who calls), bodies (every field that can be written) and the table of these routes. The same handlers serve
`/account/organizations/{organization}/…` to sessions and `/v1/organization/…` to admin keys. Always holds: a change by
cookie needs the page's own origin and its token; a field that a body does not name is refused, not ignored.
"""
