"""Screens against published tables, and their effects against ordinary least squares."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols

from ablate.errors import InputError
from ablate.statistics.effects import Design, effects
from ablate.statistics.screens import aliases, is_screen
from ablate.sweep.designs import folded_screen, leave_one_out, matrix, one_at_a_time, pairs, screen

# Plackett and Burman 1946, table for N = 12: this row, turned eleven times, and a row of minus signs.
PUBLISHED = "+ + - + + + - - - + -"

# Box, Hunter and Hunter 2005, table 6.2 (the 2^(7-4) design with D=AB, E=AC, F=BC, G=ABC): the pairs mixed with each.
MIXED = {
    "A": {"BD", "CE", "FG"},
    "B": {"AD", "CF", "EG"},
    "C": {"AE", "BF", "DG"},
    "D": {"AB", "CG", "EF"},
    "E": {"AC", "BG", "DF"},
    "F": {"BC", "AG", "DE"},
    "G": {"CD", "BE", "AF"},
}


def levels(table) -> list[tuple[int, ...]]:
    return [tuple(int(level > 0) for level in row) for row in table]


def test_twelve_runs_are_plackett_and_burmans():
    first = [1 if sign == "+" else -1 for sign in PUBLISHED.split()]
    published = np.array([np.roll(first, turn) for turn in range(11)] + [[-1] * 11])
    ours = matrix(11)
    assert ours.shape == (12, 11) and (ours[0] == -1).all()
    # The same design: their columns are ours in some order, the runs in some order. Each run of theirs but the last has
    # six pluses; each two columns have each pair of signs three times; any three a third of their product.
    assert sorted(map(int, (ours > 0).sum(axis=1))) == sorted(map(int, (published > 0).sum(axis=1))) == [0] + [6] * 11
    assert (ours.T @ ours == 12 * np.eye(11)).all() and (published.T @ published == 12 * np.eye(11)).all()
    assert {
        abs(int(np.prod(t[:, c], axis=1).sum())) for t in (ours, published) for c in combinations(range(11), 3)
    } == {4}
    # There is one such design up to the order of runs and columns, and the signs of columns: find the order.
    rows = {tuple(row) for row in published.tolist()}
    order = _order(ours, published)
    assert {tuple(row) for row in ours[:, order].tolist()} == rows


def _order(ours: np.ndarray, published: np.ndarray) -> list[int]:
    """The columns of ours that make the published runs, found one after the other."""

    def extend(chosen: list[int]) -> list[int] | None:
        width = len(chosen)
        if sorted(map(tuple, ours[:, chosen].tolist())) != sorted(map(tuple, published[:, :width].tolist())):
            return None
        if width == 11:
            return chosen
        found = (extend([*chosen, column]) for column in range(11) if column not in chosen)
        return next((order for order in found if order), None)

    order = extend([])
    assert order is not None
    return order


def test_seven_choices_in_eight_runs_are_mixed_as_published():
    design = levels(matrix(7))
    assert len(design) == 8 and design[0] == (0,) * 7
    found = aliases(design)
    letters = "ABCDEFG"
    # Which column is which letter: A, B and C are three that no fourth is the product of two of.
    named = [{frozenset(alias.pair) for alias in mixed} for mixed in found]
    assert all(len(mixed) == 3 and all(abs(alias.weight) == 1 for alias in mixed) for mixed in found)
    d = next(k for k in range(2, 7) if frozenset((0, 1)) in named[k])
    c = next(k for k in range(7) if k not in (0, 1, d))
    product = {frozenset(pair): k for k, mixed in enumerate(named) for pair in mixed}
    e, f = product[frozenset((0, c))], product[frozenset((1, c))]
    g = product[frozenset((c, d))]
    letter = dict(zip((0, 1, c, d, e, f, g), letters, strict=True))
    assert {
        letter[k]: {"".join(sorted(letter[i] for i in pair)) for pair in mixed} for k, mixed in enumerate(named)
    } == MIXED


@pytest.mark.parametrize("count", range(3, 24))
def test_screens_are_balanced_and_begin_with_the_baseline(count):
    table = matrix(count)
    assert len(table) == 4 * (count // 4 + 1) and (table[0] == -1).all()
    assert (table.T @ table == len(table) * np.eye(count)).all() and (table.sum(axis=0) == 0).all()
    assert is_screen(levels(table))


def test_a_mirror_image_clears_every_effect_of_pairs():
    for count in (7, 11):
        choices = {f"c{i}": [0, 1] for i in range(count)}
        changes = folded_screen(choices)
        assert len(changes) == 2 * len(screen(choices)) and changes[0] == {}
        design = [tuple(change.get(name, 0) for name in choices) for change in changes]
        assert is_screen(design) and aliases(design) == [[]] * count


def test_other_designs_are_no_screens():
    choices = {"a": [0, 1], "b": [0, 1], "c": [0, 1]}
    for made in (one_at_a_time, leave_one_out, pairs):
        assert not is_screen([tuple(change.get(name, 0) for name in choices) for change in made(choices)])
    assert not is_screen([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])  # all there are
    assert one_at_a_time({"a": [0, 1, 2], "b": [0, 1]}) == [{}, {"a": 1}, {"a": 2}, {"b": 1}]
    assert leave_one_out(choices) == [{"a": 1, "b": 1, "c": 1}, {"b": 1, "c": 1}, {"a": 1, "c": 1}, {"a": 1, "b": 1}]
    assert pairs({"a": [0, 1, 2], "b": [0, 1]})[4:] == [{"a": 1, "b": 1}, {"a": 2, "b": 1}]
    for wrong, says in (({"a": [0, 1, 2], "b": [0, 1], "c": [0, 1]}, "a has 3 options"), ({"a": [0, 1]}, "3 to 23")):
        with pytest.raises(InputError, match=says):
            screen(wrong)


@pytest.mark.parametrize("count, seeds", [(7, 2), (11, 3), (5, 4)])
def test_effects_are_those_of_least_squares_with_seeds_as_blocks(count, seeds):
    noise = np.random.default_rng(count)
    design = levels(matrix(count))
    cells = {
        row: {s: 0.3 * row[0] - 0.2 * row[1] + s / 9 + noise.normal(0, 0.05) for s in range(seeds)} for row in design
    }
    found = effects(Design({f"c{i}": ["no", "yes"] for i in range(count)}, cells))
    frame = pd.DataFrame(
        [
            {f"c{i}": level for i, level in enumerate(row)} | {"s": s, "y": y}
            for row in design
            for s, y in cells[row].items()
        ]
    )
    # Every combination a mean of its own: the residuals are those of combinations and seeds, as the contrasts'.
    frame["cell"] = frame[[f"c{i}" for i in range(count)]].astype(str).agg("".join, axis=1)
    error = np.sqrt(ols("y ~ C(cell) + C(s)", frame).fit().mse_resid)
    fit = ols("y ~ C(s) + " + " + ".join(f"c{i}" for i in range(count)), frame).fit()
    for i, effect in enumerate(found):
        assert effect.factors == (f"c{i}",) and len(effect.aliases) == len(aliases(design)[i])
        assert effect.difference.mean == pytest.approx(fit.params[f"c{i}"])
        half = (effect.difference.interval[1] - effect.difference.interval[0]) / 2
        t = half / (2 * error / np.sqrt(len(design) * seeds))
        df = (len(design) - 1) * (seeds - 1)
        assert t == pytest.approx(stats.t.ppf(0.975, df))
        assert effect.test.p == effect.difference.p
    if len(design) == count + 1:  # saturated: the model's residuals are the same
        assert [e.difference.p for e in found] == pytest.approx([fit.pvalues[f"c{i}"] for i in range(count)])


def test_a_screen_with_lost_runs_uses_the_seeds_that_are_whole():
    design = levels(matrix(3))
    cells = {row: {s: float(row[0]) + s for s in range(3)} for row in design}
    del cells[design[1]][2]
    found = effects(Design({name: [0, 1] for name in "abc"}, cells, {design[1]: {2}}))
    assert [effect.seeds for effect in found] == [(0, 1)] * 3
    assert found[0].difference.mean == pytest.approx(1.0)
    cells[design[1]] = {}
    assert effects(Design({name: [0, 1] for name in "abc"}, cells, {design[1]: {0, 1, 2}})) == []
