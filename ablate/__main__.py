"""The command line: `python -m ablate …` and the console script `ablate`."""

import os
import sys
from typing import Any

DESCRIBE_FLAGS = ("--json", "--table")


def train(cfg: Any) -> None:
    """One composed configuration, trained unless it has been."""
    from ablate.report import closing
    from ablate.study import cell, stored

    prepared = cell.prepare(_composition(cfg))
    record, trained = cell.run(prepared)
    closing.show(record, prepared.directory, trained)
    if not trained and (wandb_run := stored.report(prepared, record)):
        print(f"Its stored result has been reported to W&B as the run {wandb_run}.")


def describe(cfg: Any, flags: set[str]) -> None:
    """One composed configuration's network, or all named ones, shown and not trained."""
    from ablate.report import describe

    show = describe.show_experiments if "--table" in flags else describe.show
    show(_composition(cfg), as_json="--json" in flags)


def _take_parameters() -> None:
    """The parameters of a W&B agent's run become overrides."""
    from ablate.study import parameters

    sys.argv[1:] = parameters.arguments(sys.argv[1:])


def _composition(cfg: Any) -> Any:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from ablate.study.composition import Composition

    return Composition(cfg, OmegaConf.create({"hydra": HydraConfig.get()}))


def main() -> None:
    """Run what the arguments ask for.

    Exit codes: 0 done (a diverged run is done), 1 something failed, 2 the input was wrong, 130 or 143
    interrupted.
    """
    import hydra

    from ablate.study import commandline
    from ablate.study.composition import CONF

    if wrong := commandline.guarded(_take_parameters):
        sys.exit(wrong)
    command: tuple[Any, ...] = (train,)
    if sys.argv[1:2] == ["describe"]:
        # The rest is Hydra's, as in training.
        command = (describe, {argument for argument in sys.argv if argument in DESCRIBE_FLAGS})
        sys.argv[1:] = [argument for argument in sys.argv[2:] if argument not in DESCRIBE_FLAGS]

    codes: list[int] = []

    def task(cfg: Any) -> None:
        # What goes wrong stays in its own run: the others of a multirun go on.
        codes.append(commandline.guarded(command[0], cfg, *command[1:]))

    # Hydra raises what it would otherwise print, with an exit code of its own.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    commandline.register_resolvers()
    try:
        codes.append(commandline.guarded(hydra.main(str(CONF), "config", "1.3")(task)))
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseException as stop:
        if not hasattr(stop, "signum"):
            raise
        print("ablate: interrupted, state saved; the same command goes on from there.", file=sys.stderr)
        sys.exit(128 + stop.signum)
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
