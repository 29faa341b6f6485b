"""What comes from files, on its way to rich's terminal."""

from typing import Any

from rich.console import Console
from rich.markup import escape

from ablate.errors import bare


def prose(console: Console, text: str) -> None:
    """Print sentences: on a terminal they break between words, elsewhere they are one line. What is to be copied is
    printed as it is."""
    console.print(text, soft_wrap=not console.is_terminal)


def plain(value: Any) -> str:
    """The value as text that rich prints as it stands: no markup, no control characters."""
    return escape(bare(value))
