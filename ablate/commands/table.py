"""Write runs as one table, one row a run: every choice, metric, cost and what it came about under.

ablate table -o all.parquet
ablate table sweeps/quick.yaml runs_dir=runs -o all.csv
"""

import argparse
from pathlib import Path

from ablate.api.comparing import stored
from ablate.commands.words import elsewhere
from ablate.errors import InputError

ENDINGS = (".csv", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="*",
        metavar="FILE or RUNS",
        help="as `ablate report` takes them: sweep files, run directories and folders of them (runs), or others'",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FILE", help=f"where to write: {' '.join(ENDINGS)}"
    )
    parser.add_argument("--metric", help="of runs from elsewhere, what is compared")
    parser.add_argument("--config-dir", "-cd", type=Path, help="the folder of your own options that the sweep ran with")
    elsewhere.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Read the runs and write the file. Raises InputError."""
    out: Path = options.out
    if out.suffix not in ENDINGS:
        raise InputError(f"--out {out}: the name of a table ends in {', '.join(ENDINGS)}.")
    from ablate.comparison.elsewhere import own_table

    names, overrides = elsewhere.parted(options.what)
    found = stored(names, overrides, options.config_dir, elsewhere.asked(options))
    table = own_table.frame(found)
    part = out.with_name(f".{out.name}.part")
    try:
        if out.suffix == ".parquet":
            table.to_parquet(part, index=False)
        else:
            table.to_csv(part, index=False)
        part.replace(out)
    except OSError as error:
        raise InputError(f"--out {out} cannot be written ({error.strerror}).") from error
    finally:
        part.unlink(missing_ok=True)
    print(f"{out}: {len(table):,} runs, {len(table.columns)} columns")
