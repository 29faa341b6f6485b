"""Where a claimed run starts: at its newest checkpoint, or from the beginning if its files are damaged."""

import logging

from ablate.runs import intact
from ablate.runs.lease import DAMAGED, Claim
from ablate.runs.record import RunRecord
from ablate.training.saving.resume import Start, start

log = logging.getLogger(__name__)


def beginning(claim: Claim, known: RunRecord | None, checksum: str, keeps_best: bool) -> tuple[RunRecord | None, Start]:
    """The record that the run resumes with, and where it starts.

    Damage is logged. If no checkpoint can be used, the files are moved away and the run starts from the beginning.

    checksum    of the data
    keeps_best  whether the run's result needs the weights of the best epoch
    """
    directory = claim.directory
    found = start(directory, None if known else checksum, keeps_best)
    damage = list(found.damage)
    if known is None and (directory / "run.json").exists():
        damage.append("run.json is damaged")
    if known and known.is_result:
        damage += intact.faults(directory, known)
    if not damage:
        return known, found
    what = f"{directory}: {'; '.join(damage)}."
    if found.checkpoint is not None:
        log.warning("%s It resumes from %s.", what, found.checkpoint.name)
        return known, found
    log.warning("%s It starts again; its files were moved to %s.", what, intact.set_aside(claim, known, DAMAGED))
    return None, Start()
