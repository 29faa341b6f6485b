"""table.tex: what a paper's column has, and that its cells are what siunitx takes."""

import re

import pytest

from ablate.errors import InputError
from ablate.report import latex
from ablate.report.contents import contents
from ablate.report.latex import Paper


@pytest.fixture
def made(run, compared):
    """Two choices, crossed; no norm is surely worse."""
    for seed in range(4):
        for norm in ("batch", "none"):
            for shortcut in ("zero_pad", "projection"):
                value = (
                    0.9
                    + 0.001 * seed
                    - (0.3 + 0.01 * seed) * (norm == "none")
                    + (0.003 + 0.0004 * seed) * (shortcut == "projection")
                )
                run({"norm": norm, "shortcut": shortcut}, seed, value + 0.0005 * seed**2, history=False)
    return contents(compared())


def body(table):
    return [line.removesuffix(r" \\") for line in table.partition(r"\midrule")[2].splitlines() if line.endswith(r"\\")]


def test_the_usual_table_has_mean_difference_and_interval(made):
    table = latex.table(made)
    assert r"\begin{table}" in table and r"\label{tab:test-acc}" in table
    assert r"S[table-format=2.2]S[table-format=+2.2,table-space-text-post={$^{*}$}]c" in table
    assert r"means of $n = 4$ runs, differences in points. The baseline is norm=batch shortcut=zero\_pad" in table
    assert "paired t-test" in table and f"for {made.comparison.family} tests" in table
    cells = [line.split(" & ") for line in body(table)]
    assert len(cells) == 4 and {len(row) for row in cells} == {4}
    bold = [row[0] for row in cells if "bfseries" in row[1]]
    assert bold == [r"shortcut=\allowbreak{}projection"], "the best mean alone"
    starred = [row[0] for row in cells if "^{*}" in row[2]]
    assert r"norm=\allowbreak{}none" in starred
    assert not re.search(r"[−–…]", table)


def test_columns_are_chosen(made):
    table = latex.table(made, Paper(("n", "p", "verdict")))
    assert r"{$n$} & {$p$} & {verdict}" in table
    assert body(table)[0].endswith(" & 4 & {--} & {baseline}")


def test_a_choice_is_pivoted_into_columns(made):
    table = latex.table(made, Paper(pivot="norm"))
    assert "variant & {batch} & {none}" in table and "by norm" in table
    cells = [line.split(" & ") for line in body(table)]
    assert [row[0] for row in cells] == [
        r"shortcut=\allowbreak{}zero\_\allowbreak{}pad",
        r"shortcut=\allowbreak{}projection",
    ]
    assert [["bfseries" in cell for cell in row[1:]] for row in cells] == [[False, False], [True, True]]
    with pytest.raises(InputError, match=r"--pivot model: .* Those that do: norm, shortcut"):
        latex.table(made, Paper(pivot="model"))
