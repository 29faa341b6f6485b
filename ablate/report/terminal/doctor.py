"""What of the stored runs is whole, what can be resumed, what is unusable: as a list."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ablate.report.terminal.markup import plain
from ablate.runs.examination import RESUMABLE, RUNNING, UNUSABLE, WHOLE, Finding, examined

COLOURS = {WHOLE: "green", RUNNING: "cyan", RESUMABLE: "yellow", UNUSABLE: "red"}


def show(folders: Sequence[Path], repair: bool, as_json: bool = False) -> bool:
    """List the runs in `folders`. Returns whether one is unusable that has not been set aside. Raises InputError."""
    found = examined(folders, repair)
    if as_json:
        print(json.dumps([_data(finding) for finding in found], indent=1))
    else:
        _show(found)
    return any(finding.state == UNUSABLE and not finding.repaired for finding in found)


def _data(finding: Finding) -> dict[str, object]:
    reasons = {"reasons": finding.reasons, "repaired": finding.repaired}
    return {"directory": str(finding.directory), "state": finding.state, **reasons}


def _show(found: Sequence[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in found:
        if finding.state != WHOLE or finding.reasons or finding.repaired:
            console.print(f"[{COLOURS[finding.state]}]{finding.state:<9}[/]  {plain(finding.directory)}")
            for line in (*finding.reasons, *finding.repaired):
                console.print(f"           [dim]{plain(line)}[/]")
    counts = Counter(finding.state for finding in found)
    console.print(", ".join(f"{number} {state}" for state, number in counts.items()) + "." if found else "no runs.")
    if counts[UNUSABLE] and not any(finding.repaired for finding in found):
        console.print("--repair sets aside what is unusable, so that the same command trains it.")
