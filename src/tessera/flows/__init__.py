"""What Tessera does: one use case per file, read top to bottom.

`inference` is the whole path of a paid call; `quoting` its first half, which quotes and token counts share; `serving`
and `settling` its second. Always holds: nothing is sent to a provider before a hold is placed, and a hold is resolved
exactly once, whatever happened in between.
"""
