"""Train one design, or several with -m. A design that has a result is not trained again.

    ablate model=resnet34 shortcut=projection
    ablate -m norm=batch,none seed=0,1,2

Every word is AXIS=OPTION or KEY=VALUE; flags are Hydra's (-m, --cfg job, --config-dir DIR; ablate --hydra-help).
"""

import argparse

from ablate.commands import help
from ablate.configuration.composition import Composition


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "ablate [train] [AXIS=OPTION | KEY=VALUE …] [HYDRA'S FLAGS]"
    parser.epilog = help.axes()


def run(composition: Composition, options: argparse.Namespace) -> None:
    """Train what was composed, and show its result."""
    from ablate.configuration import agent
    from ablate.report.terminal import closing
    from ablate.runs import cell, stored

    prepared = cell.prepare(composition)
    # An agent's server takes a run without a result for a failed one.
    record, trained = cell.run_when_free(prepared) if agent.present() else cell.run(prepared)
    closing.show(record, prepared.directory, trained)
    if not trained and (wandb_run := stored.report(prepared, record)):
        print(f"Its stored result has been reported to W&B as the run {wandb_run}.")
