"""The text of `ablate --help`: the commands, the axes with their options, and how to see the rest."""

import shutil
import textwrap
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import yaml

from ablate.paths import CONF

SHOWN = 20  # an axis with more options is not listed: its number of options is shown instead

MORE = """\
ablate --cfg job                    the configuration: all that can be set
ablate describe --table             the named networks, experiment=NAME
ablate -m norm=batch,none seed=0,1  several runs: a Hydra multirun
ablate --config-dir DIR             with option files of your own
ablate --hydra-help                 Hydra's own flags
eval "$(ablate -sc install=bash)"   completion in the shell"""


def version() -> str:
    return f"ablate {metadata.version('ablate-resnet')}"


def overview(commands: Mapping[str, str]) -> str:
    """The page of `ablate --help`, as wide as the terminal."""
    width = max(len(name) for name in commands)
    return "\n".join(
        [
            "usage: ablate [COMMAND] [AXIS=OPTION | KEY=VALUE …] [FLAGS]",
            "",
            "Compare network designs: train one, or run a sweep file and compare its designs.",
            "",
            "commands (ablate COMMAND --help says more):",
            *(f"  {name:<{width}}  {line}" for name, line in commands.items()),
            "",
            axes(),
            "",
            "more:",
            textwrap.indent(MORE, "  "),
        ]
    )


def filled(text: str | None) -> str | None:
    """The text, paragraphs wrapped to the terminal's width; commands and tables are not wrapped."""
    width = max(min(shutil.get_terminal_size().columns, 120) - 2, 40)
    return text and "\n\n".join(
        textwrap.fill(part, width, break_long_words=False, break_on_hyphens=False) if _is_prose(part) else part
        for part in text.strip("\n").split("\n\n")
    )


def _is_prose(part: str) -> bool:
    return part[:1].isupper() and not any(line[:1].isspace() for line in part.splitlines())


def axes() -> str:
    """Every axis with its options, the default first."""
    columns = shutil.get_terminal_size().columns
    defaults = _defaults()
    width = max(map(len, defaults))
    lines = ["axes (AXIS=OPTION), the default first:"]
    for axis, default in defaults.items():
        options = sorted(path.stem for path in (CONF / axis).glob("*.yaml"))
        others = [option for option in _by_number(options) if option != default]
        chosen = [default] if default else []
        listed = [*chosen, *others] if len(options) <= SHOWN else [f"{len(options)} options, in {CONF / axis}"]
        lines += textwrap.wrap(
            " ".join(listed),
            max(columns - 1, 40),
            initial_indent=f"  {axis:<{width}}  ",
            subsequent_indent=" " * (width + 4),
            break_long_words=False,
        )
    return "\n".join(lines)


def _defaults() -> dict[str, str | None]:
    """The axes in the order of conf/config.yaml, with their default options."""
    entries = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    named = {axis: option for entry in entries if isinstance(entry, dict) for axis, option in entry.items()}
    return {axis: option for axis, option in named.items() if Path(CONF / axis).is_dir() and "/" not in axis}


def _by_number(options: list[str]) -> list[str]:
    """The options sorted so that resnet20 comes before resnet110."""
    return sorted(options, key=lambda option: (option.rstrip("0123456789"), len(option), option))
