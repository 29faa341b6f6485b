"""The runs that `bench scale` makes up are runs as a plan and a report know them. 5 s."""

from ablate.bench import scale
from ablate.comparison.gathering import from_plan
from ablate.comparison.results import find
from ablate.configuration.resolvers import register_resolvers
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan

FIXED = ["model.stages=[1,1,1]", "model.widths=[4,8,8]", "trainer=cpu", "threads=1"]


def test_made_up_runs_are_results_of_their_cells(simulate, tmp_path, monkeypatch):
    register_resolvers()
    monkeypatch.setitem(scale.NETWORKS, "model", ["resnet20"])
    file = SweepFile.read(scale.sweep_file(tmp_path, 40, 2, 3))
    typed = [*FIXED, f"runs_dir={tmp_path / 'runs'}"]
    others = plan(file, typed)
    scale.make_up(simulate(tmp_path / "trained", {}, 0, 0.9), others)

    cells = plan(file, typed)
    assert len(cells) == 8 * 2 * 3 and {cell.status for cell in cells} == {"finished"}
    assert [cell.params for cell in cells] == [cell.params for cell in others]
    compared = from_plan(cells, file)
    assert len(compared.variants) == 8 * 2 and {variant.estimate.n for variant in compared.variants} == {3}
    assert {effect.factors for effect in compared.effects} >= {("norm",), ("placement", "optimizer.lr")}

    apart = {result.fingerprint: result for result in find([tmp_path / "runs"])}
    assert len(apart) == len(cells)
    for cell in others:
        result = apart[cell.fingerprint]
        assert (result.seed, result.value("norm")) == (cell.assignment["seed"], cell.assignment["norm"])
        assert result.config["optimizer"]["lr"] == cell.assignment["optimizer.lr"]
