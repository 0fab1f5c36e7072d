"""What can cut the story short."""

from __future__ import annotations


class DemoError(Exception):
    """The root of everything ``demo`` raises; ``str()`` is for the user."""


class NotSeen(DemoError):
    """Something the story waits for did not happen, or could not be read."""


class CannotWrite(DemoError):
    """The file for the report cannot be had."""
