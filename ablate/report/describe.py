"""A design's network as a table, without training or allocating it."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from ablate.design.cost import Cost, cost
from ablate.errors import InputError
from ablate.report.closing import count
from ablate.study.commandline import explained
from ablate.study.composition import CONF, Composition, axes, composed
from ablate.training.assembly import network
from ablate.training.settings import check_values

# What a network is built from; every other axis leaves it as it is, and of the data only these values count.
_NETWORK_AXES = (
    *("data", "model", "block", "shortcut", "norm", "placement", "activation", "stem", "transition", "head"),
    "conv_bias",
)
_NETWORK_DATA = ("data.channels", "data.image_size", "data.num_classes")


def show(composition: Composition, as_json: bool = False) -> None:
    """The network of `composition`, as tables or as JSON."""
    described = description(composition)
    if as_json:
        print(json.dumps(described, indent=2))
    else:
        _show_tables(described)


def show_experiments(composition: Composition, as_json: bool = False) -> None:
    """Every named network, conf/experiment/*.yaml, as a markdown table or as JSON."""
    rows = experiments(composition)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print("| `experiment=` | what and from where | images | parameters | multiply-adds |")
    print("|---|---|---|---:|---:|")
    for row in rows:
        source = row["source"].replace("|", "\\|")
        numbers = f"{_by(row['image'])} | {row['params']:,} | {count(row['macs'])}"
        print(f"| `{row['experiment']}` | {source} | {numbers} |")


def description(composition: Composition) -> dict[str, Any]:
    """What the network of `composition` costs in all and stage by stage, and what its choices change.

    params            trainable
    buffers           norm statistics
    macs              multiply-adds of one forward of one image of the data's size
    activation_bytes  what that forward keeps for the backward, in float32
    stages            the same for stem, stage1, …, head, with each one's output shape
    overrides         as typed
    choices           {axis: option}
    differences       one for each axis whose option or its values are not the default ones: `choice`,
                      `default`, `chosen`, the `values` that are not the chosen option's own, and the change
                      in `params` and `macs` that the choice makes, all else kept; null, with the reason as
                      `clash`, where the default option does not go with the rest

    Raises InputError for what cannot be trained, the machine and the data aside.
    """
    composition.check_types()
    cfg = _resolved(composition.cfg)
    check_values(cfg)
    total, stages = _cost(cfg)
    return {
        "overrides": composition.overrides,
        "image": _image(cfg),
        "classes": cfg.data.num_classes,
        **{key: value for key, value in asdict(total).items() if key != "shape"},
        "stages": [{"name": name} | asdict(stage) for name, stage in stages.items()],
        "choices": composition.choices,
        "differences": list(_differences(composition, cfg, total)),
    }


def experiments(composition: Composition) -> list[dict[str, Any]]:
    """Name, source, image shape, parameters and multiply-adds of every file in conf/experiment, by source.

    Raises InputError where what was typed besides clashes with one of them.
    """
    rows = []
    for file in (CONF / "experiment").glob("*.yaml"):
        cfg = _resolved(composed([*composition.overrides, f"experiment={file.stem}"]))
        try:
            total, _ = _cost(cfg)
        except InputError as error:
            raise InputError(f"experiment={file.stem}: {error}") from error
        row: dict[str, Any] = {"experiment": file.stem, "source": _first_sentence(file), "image": _image(cfg)}
        rows.append(row | {"params": total.params, "macs": total.macs})
    return sorted(rows, key=lambda row: _naturally(row["source"]))


def _naturally(text: str) -> list[str | int]:
    """A sort key by which ResNet-20 stands before ResNet-110."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def _image(cfg: DictConfig) -> list[int]:
    return [cfg.data.channels, cfg.data.image_size, cfg.data.image_size]


def _first_sentence(file: Path) -> str:
    lines = file.read_text().splitlines()
    comment = " ".join(line[2:] for line in lines if line.startswith("# ") and not line.startswith("# @package"))
    return re.split(r"(?<!\bal)\.(?:\s|$)", comment)[0]


def _differences(composition: Composition, cfg: DictConfig, total: Cost) -> Iterator[dict[str, Any]]:
    defaults = composed([])
    known = {str(_network_values(cfg)): total}  # an axis outside the network needs no second network
    for change in _choices_apart(composition, axes(defaults)):
        try:
            before = _resolved(_set_back(composition, change["choice"], change["default"], defaults))
            values = str(_network_values(before))
            if values not in known:
                known[values], _ = _cost(before)
            was = known[values]
            yield change | {"params": total.params - was.params, "macs": total.macs - was.macs}
        except (InputError, HydraException, OmegaConfBaseException) as error:
            yield change | {"params": None, "macs": None, "clash": explained(error)}


def _choices_apart(composition: Composition, defaults: dict[str, str | None]) -> Iterator[dict[str, Any]]:
    """Where the composition leaves the defaults: axis, default and chosen option, values changed there."""
    # An experiment is a set of choices, each of which is told; so the experiment itself is not one.
    chosen = {a: option for a, option in composition.choices.items() if a in defaults and a != "experiment"}
    own = _network_values(composed(_typed(chosen, defaults)))
    changed = {key: value for key, value in _network_values(composition.cfg).items() if own.get(key) != value}
    for axis in sorted(chosen, key=_place):
        values = {key: value for key, value in changed.items() if key.startswith(f"{axis}.")}
        if values or chosen[axis] != defaults[axis]:
            yield {"choice": axis, "default": defaults[axis], "chosen": chosen[axis], "values": values}
    if "conv_bias" in changed:
        yield {
            "choice": "conv_bias",
            "default": own["conv_bias"],
            "chosen": changed["conv_bias"],
            "values": {},
        }


def _set_back(composition: Composition, choice: str, default: Any, defaults: DictConfig) -> DictConfig:
    """The same configuration with one axis, or conv_bias, as it is by default, and all others kept."""
    default_choices = axes(defaults)
    if choice not in default_choices:
        return OmegaConf.create(_values(composition.cfg) | {choice: default})
    typed = composition.overridden
    kept = [text for key, text in typed.items() if key != choice and not key.startswith(f"{choice}.")]
    # An option may choose on other axes too (a model its block): typed, the choices stay.
    pinned = {a: option for a, option in composition.choices.items() if a in default_choices and a not in typed}
    kept += _typed(pinned | {choice: default}, default_choices)
    values = _values(composed(kept))
    # What an experiment says about the option that it chooses was merged into the default one as well.
    values.pop(choice, None)
    return OmegaConf.create(values | {k: v for k, v in _values(defaults).items() if k == choice})


def _typed(choices: dict[str, str | None], defaults: dict[str, str | None]) -> list[str]:
    """The choices as overrides; Hydra deletes where it cannot set null."""
    typed = [f"{axis}={option}" for axis, option in choices.items() if option is not None]
    return typed + [f"~{a}" for a, option in choices.items() if option is None and defaults[a] is not None]


def _network_values(cfg: DictConfig) -> dict[str, Any]:
    """What a network is built from, by path; interpolations as they stand in `cfg`."""

    def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from leaves(f"{path}.{key}", item)
        else:
            yield path, value

    values = {key: value for key, value in _values(cfg).items() if _first(key) in _NETWORK_AXES}
    flat = dict(leaf for key, value in values.items() for leaf in leaves(key, value))
    return {key: value for key, value in flat.items() if _first(key) != "data" or key in _NETWORK_DATA}


def _first(path: str) -> str:
    return path.split(".")[0]


def _place(axis: str) -> int:
    return _NETWORK_AXES.index(axis) if axis in _NETWORK_AXES else len(_NETWORK_AXES)


def _values(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, not resolved, without Hydra's part."""
    values = OmegaConf.to_container(cfg)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "hydra"}


def _resolved(cfg: DictConfig) -> DictConfig:
    plain = OmegaConf.create(_values(cfg))
    OmegaConf.resolve(plain)
    return plain


def _cost(cfg: DictConfig) -> tuple[Cost, dict[str, Cost]]:
    with torch.device("meta"):
        net = network(cfg)
    return cost(net, cfg.data.channels, cfg.data.image_size)


def _show_tables(described: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200
    image = f"{_by(described['image'])} images, {described['classes']} classes"
    stages = _table(
        f"{escape(' '.join(described['overrides']) or 'defaults')}  [not bold dim]{image}[/]",
        show_footer=True,
    )
    stages.add_column("", footer="total")
    stages.add_column("output", footer="")
    for name, total in (
        ("blocks", f"{described['blocks']}"),
        ("parameters", f"{described['params']:,}"),
        ("multiply-adds", count(described["macs"])),
        ("activations", decimal(described["activation_bytes"])),
    ):
        stages.add_column(name, footer=total, justify="right")
    for stage in described["stages"]:
        stages.add_row(
            stage["name"],
            _by(stage["shape"]),
            f"{stage['blocks'] or ''}",
            f"{stage['params']:,}",
            count(stage["macs"]),
            decimal(stage["activation_bytes"]),
        )
    console.print()
    console.print(stages)
    statistics = f" Beside the parameters: {described['buffers']:,} norm statistics." if described["buffers"] else ""
    console.print(f"[dim]Activations: of one image, kept for the backward, in float32.{statistics}[/dim]")
    _show_differences(console, described["differences"])


def _show_differences(console: Console, differences: list[dict[str, Any]]) -> None:
    changes = _table("Not the default, and what each changes with all else kept")
    for name in ("", "default", "", "chosen"):
        changes.add_column(name)
    for name in ("parameters", "multiply-adds"):
        changes.add_column(name, justify="right")
    clashes, elsewhere = [], []
    for change in differences:
        axis, default, chosen = (_word(change[key]) for key in ("choice", "default", "chosen"))
        if axis not in _NETWORK_AXES:
            elsewhere.append(f"{axis} {default} → {chosen}")
            continue
        params, macs = change["params"], change["macs"]
        if "clash" in change:
            clashes.append(f"{axis}={default} clashes here: {escape(change['clash'])}")
            numbers = ["clash", "clash"]
        else:
            numbers = [_signed(params, f"{abs(params):,}"), _signed(macs, count(abs(macs)))]
        values = "".join(f" {key.partition('.')[2]}={_word(value)}" for key, value in change["values"].items())
        changes.add_row(axis, default, "→", f"[bold]{chosen}[/bold]{values}", *numbers)
    if changes.row_count:
        console.print()
        console.print(changes)
    for line in clashes:
        console.print(f"[dim]{line}[/dim]")
    if elsewhere:
        console.print(f"[dim]Also not the default, outside the network: {', '.join(elsewhere)}.[/dim]")


def _table(title: str, show_footer: bool = False) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
        footer_style="bold",
        show_footer=show_footer,
    )


def _word(value: Any) -> str:
    """A value as it is typed."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else escape(str(value).replace(", ", ","))


def _signed(change: int, size: str) -> str:
    return "same" if change == 0 else f"{'+' if change > 0 else '-'}{size}"


def _by(shape: list[int] | tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
