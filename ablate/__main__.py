"""The command line: `python -m ablate …` and the console script `ablate`."""

import os
import sys
from typing import Any


def train(cfg: Any) -> None:
    """One composed configuration, trained unless it has been."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from ablate.report import closing
    from ablate.study import cell
    from ablate.study.composition import Composition

    prepared = cell.prepare(Composition(cfg, OmegaConf.create({"hydra": HydraConfig.get()})))
    record, trained = cell.run(prepared)
    closing.show(record, prepared.directory, trained)


def main() -> None:
    """Run what the arguments ask for.

    Exit codes: 0 done (a diverged run is done), 1 something failed, 2 the input was wrong, 130 or 143 interrupted.
    """
    import hydra

    from ablate.study import commandline
    from ablate.study.composition import CONF

    codes: list[int] = []

    def task(cfg: Any) -> None:
        # What goes wrong stays in its own run: the others of a multirun go on.
        codes.append(commandline.guarded(train, cfg))

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
