"""What `ablate check` shows: one line for each promise, and under a no what it means."""

import json
import shutil
import textwrap
from dataclasses import asdict

from ablate.configuration.composition import Composition
from ablate.errors import bare
from ablate.runs.check import Answer, answers

_INDENT = 5 * " "


def show(composition: Composition, as_json: bool = False) -> bool:
    """Whether every promise is kept; each answer is printed when it is there."""
    found: list[Answer] = []
    for answer in answers(composition):
        found.append(answer)
        if not as_json:
            print(_shown(answer), flush=True)
    kept = sum(answer.kept for answer in found)
    if as_json:
        print(json.dumps([asdict(answer) for answer in found], indent=2))
    elif kept == len(found):
        print("Runs of this design can be paired by seed, interrupted and resumed.")
    else:
        print(f"{len(found) - kept} of {len(found)} not kept: put that right before runs are compared.")
    return kept == len(found)


def _shown(answer: Answer) -> str:
    lines = [f"{'yes' if answer.kept else 'no':{len(_INDENT)}}{answer.promise}"]
    if answer.seen:
        lines[0] += f": {bare(answer.seen)}"
    if answer.advice:
        lines.append(f"{_INDENT}{answer.advice}")
    width = shutil.get_terminal_size().columns
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)
        for line in lines
    )
