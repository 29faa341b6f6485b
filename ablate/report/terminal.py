"""What comes from files, on its way to the terminal."""

import re
from typing import Any

from rich.markup import escape

# Control characters, by which text could move the cursor, set the window's title or type: all but the tab.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def plain(value: Any) -> str:
    """The value as text that rich prints as it stands: no markup, no control characters."""
    return escape(bare(value))


def bare(value: Any) -> str:
    """The value as text in which control characters are written out, for whatever is printed without rich."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(value))
