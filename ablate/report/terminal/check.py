"""What `ablate check` shows: one line for each promise."""

import json
from dataclasses import asdict

from ablate.configuration.composition import Composition
from ablate.errors import bare
from ablate.runs.check import Answer, answers


def show(composition: Composition, as_json: bool = False) -> bool:
    """Whether every promise is kept; each answer is printed when it is there."""
    found: list[Answer] = []
    for answer in answers(composition):
        found.append(answer)
        if not as_json:
            seen = f": {bare(answer.seen)}" if answer.seen else ""
            print(f"{'yes' if answer.kept else 'no ':3}  {answer.promise}{seen}", flush=True)
    if as_json:
        print(json.dumps([asdict(answer) for answer in found], indent=2))
    return all(answer.kept for answer in found)
