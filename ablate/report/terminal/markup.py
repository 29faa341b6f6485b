"""What comes from files, on its way to rich's terminal."""

from typing import Any

from rich.markup import escape

from ablate.errors import bare


def plain(value: Any) -> str:
    """The value as text that rich prints as it stands: no markup, no control characters."""
    return escape(bare(value))
