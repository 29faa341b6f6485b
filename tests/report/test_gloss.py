"""What an option is, in the words of its own file."""

import pytest

from ablate.paths import CONF
from ablate.report.answering.gloss import gloss

AXES = ("norm", "shortcut", "placement", "block", "stem", "transition", "head", "activation", "init", "model", "data")


@pytest.mark.parametrize(
    ("axis", "option", "said"),
    [
        ("norm", "group", "Group normalisation"),
        ("norm", "none", "No normalisation"),
        ("activation", "relu", "max(x, 0)"),
        ("placement", "act_before_add", "conv norm act conv norm act | add"),
        ("shortcut", "constant_scaling", "Shortcut and branch each times one half"),
        ("experiment", "functional_direct", '"Working with Residual Connections", method 5: conv | add'),
        ("norm", "no_such", ""),
        ("optimizer.lr", "0.1", ""),
        ("norm", "../norm/group", ""),
    ],
)
def test_it_is_the_first_sentence_without_sources(axis, option, said):
    assert gloss(axis, option) == said


def test_a_source_within_the_sentence_does_not_end_it(tmp_path):
    (tmp_path / "norm").mkdir()
    (tmp_path / "norm" / "mine.yaml").write_text("# He et al. 2015: scaled by 0.5\n# and shifted. More of it.\na: 1\n")
    (tmp_path / "norm" / "bare.yaml").write_text("a: 1\n# not of the file\n")
    for search_path in ([f"--config-dir={tmp_path}"], [f"hydra.searchpath=[file://{tmp_path}]"]):
        assert gloss("norm", "mine", search_path) == "He et al. 2015: scaled by 0.5 and shifted"
        assert gloss("norm", "bare", search_path) == ""
    assert gloss("norm", "mine") == ""


@pytest.mark.parametrize("axis", AXES)
def test_every_option_says_what_it_is(axis):
    for file in (CONF / axis).glob("*.yaml"):
        assert 3 <= len(gloss(axis, file.stem)) < 130, file
