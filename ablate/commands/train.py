"""Train one design, or several with -m. A design that has a result is not trained again.

    python -m ablate model=resnet34 shortcut=projection
    python -m ablate -m norm=batch,none seed=0,1,2

Every word is AXIS=OPTION or KEY=VALUE; flags are Hydra's (-m, --cfg job, --config-dir DIR; --hydra-help lists them).
"""

import argparse

from ablate.commands.words import help
from ablate.configuration.composition import Composition
from ablate.training.settings import check_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "ablate [train] [AXIS=OPTION | KEY=VALUE …] [HYDRA'S FLAGS]"
    parser.epilog = help.axes()


def run(composition: Composition, options: argparse.Namespace) -> None:
    """Train the composed configuration, and show its result."""
    values = composition.checked()
    check_values(values)

    from ablate.process import garbage, lightning
    from ablate.report.terminal import closing, opening

    opening.show(composition, values)
    lightning.load()

    from ablate.api import runs
    from ablate.runs import cell  # noqa: F401  # the last of the imports

    garbage.keep_imports()
    run = runs.trained(composition, opening.show_start)
    record = run.record.asked(composition)
    closing.show(record, run.directory, run.trained)
    options.ended = [*getattr(options, "ended", []), (run.directory, record)]
    if run.reported:
        print(f"Its stored result has been reported to W&B as the run {run.reported}.")


def after(options: argparse.Namespace) -> None:
    """Say what the runs of a multirun come to together."""
    ended = getattr(options, "ended", [])  # those of this process: a launcher may train elsewhere
    if len(ended) > 1:
        from ablate.report.terminal import ending

        ending.show_runs(ended)
