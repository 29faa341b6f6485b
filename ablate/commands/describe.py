"""Show a design's network as a table: layers, shapes, parameters, multiply-adds. Nothing is trained.

ablate describe model=resnet50 data=image_folder
ablate describe --table        every named network, as markdown
"""

import argparse

from ablate.configuration.composition import Composition


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "ablate describe [--json] [--table] [AXIS=OPTION | KEY=VALUE …] [FLAGS]"
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--table", action="store_true", help="every named network, experiment=NAME, instead of one")


def run(composition: Composition, options: argparse.Namespace) -> None:
    """Show the network of the composed configuration."""
    composition.check_types()  # before importing torch, which takes seconds

    from ablate.report.terminal import describe

    show = describe.show_experiments if options.table else describe.show
    show(composition, as_json=options.json)
