"""`python -m ablate doctor`: what of the stored runs is whole, what goes on, what is lost."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ablate.report.terminal import plain
from ablate.study.examination import LOST, RESUMABLE, RUNNING, WHOLE, Finding, examined

DONE, FAILURE = 0, 1
COLOURS = {WHOLE: "green", RUNNING: "cyan", RESUMABLE: "yellow", LOST: "red"}


def doctor(arguments: Sequence[str]) -> int:
    """List the runs. Returns the exit code: 1 where something is lost and has not been set aside. Raises InputError."""
    parser = argparse.ArgumentParser(prog="ablate doctor", description="What of the stored runs is whole.")
    parser.add_argument("runs", nargs="*", type=Path, help="run directories and folders of them (runs)")
    parser.add_argument(
        "--repair", action="store_true", help="tidy up, and set aside what is lost, so that the same command trains it"
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    options = parser.parse_args(arguments)
    found = examined(options.runs or [Path("runs")], options.repair)
    if options.json:
        print(json.dumps([_data(finding) for finding in found], indent=1))
    else:
        _show(found)
    return FAILURE if any(finding.state == LOST and not finding.repaired for finding in found) else DONE


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
    if counts[LOST] and not any(finding.repaired for finding in found):
        console.print("--repair sets aside what is lost, so that the same command trains it.")
