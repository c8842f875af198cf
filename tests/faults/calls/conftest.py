"""Fixtures of live calls."""

from live_calls import live, setting

__all__ = ["live", "setting"]
