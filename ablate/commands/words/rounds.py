"""The words of the rules by which seeds are added in rounds, for every command that takes them."""

import argparse

from ablate.training.goal import GOALS


def add_looks(parser: argparse._ActionsContainer) -> None:
    """When one looks, and how the level is spent; what cannot be is refused where they are read."""
    parser.add_argument("--looks", metavar="N,N,…", default="4,6,8,12", help="seeds at which to look (%(default)s)")
    parser.add_argument(
        "--spending",
        metavar="HOW",
        default="pocock",
        help="of the 5%%: pocock finds early, obrien_fleming late (%(default)s)",
    )


def add_rules(parser: argparse._ActionsContainer) -> None:
    add_looks(parser)
    parser.add_argument(
        "--margin", type=float, metavar="X", help="differences below X, as reports tell them (points), count as none"
    )
    parser.add_argument("--metric", default="test/acc", help="what is compared (%(default)s)")
    parser.add_argument("--goal", choices=GOALS, help="which of its values is better, where that is not known")


def add_new_rules(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--new-rules", action="store_true", help="replace the rules that the sweep began with")
