"""Wire formats: what a caller wrote, what a provider answers, and each in the other's words.

Owns every name that appears in a request or reply body. Always holds: the caller's bytes are never rebuilt when they
can be passed on; a field that could change what a call costs is priced or refused by name; no number passes a float.
"""
