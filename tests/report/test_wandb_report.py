"""The W&B Report and the workspace: what is in them, saved to a server of ours on the loopback and read back. 10 s."""

import json
from typing import Any

import pytest

from ablate.comparison.gathering import from_results
from ablate.comparison.results import find
from ablate.errors import InputError
from ablate.report.contents import contents
from ablate.report.drawing.svg import INK, SERIES
from ablate.report.wandb_views import report as wandb_report
from tests.wandb_server import ENTITY
from tests.wandb_views import ViewServer

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's own


@pytest.fixture
def made(run, tmp_path):
    """Of two variants with three seeds; everything that a run can have, unless it is replaced."""

    def make(maps: bool = True, norms: tuple[str, ...] = ("batch", "none"), **changes: Any):
        for norm in norms:
            for seed in range(3):
                value = 0.9 - (norm == "none") / 10 + seed / (90 + len(norm))
                own = {"wandb": tracked(norm, seed), "gradient_norms": {"stem.conv": 1.0}, "summary": summary(value)}
                directory = run({"norm": norm}, seed, value, history=False, **(own | changes))
                if maps:
                    (directory / "gradient_flow").mkdir()
                    (directory / "gradient_flow" / "heat_map.png").write_bytes(b"a picture")
        return contents(from_results(find([tmp_path / "runs"]), "runs"))

    return make


def summary(value: float) -> dict[str, float]:
    return {"test/acc": value, "val/acc": value, "train/loss": 1.0, "gradient_flow/first_to_last": 0.1}


def tracked(norm: str, seed: int, **changes: Any) -> dict[str, Any]:
    group = "baseline" if norm == "batch" else f"norm={norm}"
    return {"id": f"{norm}{seed}", "mode": "offline", "url": None, "group": group, **changes}


def found(value: Any, key: str) -> list[Any]:
    """Everything below `key` in nested JSON."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value[key]] if isinstance(value, dict) and key in value else []
    return own + [hit for item in inner for hit in found(item, key)]


def spec(made) -> dict[str, Any]:
    report = wandb_report.built(made, "somebody", "ablate")
    return json.loads(report._to_model().model_dump_json(by_alias=True, exclude_none=True))


def panels(spec: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    every = [panel for listed in found(spec, "panels") if isinstance(listed, list) for panel in listed]
    return [panel["config"] for panel in every if panel["viewType"] == kind]


def test_a_run_set_is_a_variant_with_its_own_runs(made):
    sets = [runset for block in found(spec(made()), "runSets") for runset in block]
    assert [s["name"] for s in sets[:2]] == ["baseline", "norm=none"]
    assert "none0" in json.dumps(sets[1]) and "batch0" not in json.dumps(sets[1])


def test_panels_go_by_the_choices_and_the_flow(made):
    said = spec(made())
    (parallel,) = panels(said, "Parallel Coordinates Plot")
    accessors = [column["accessor"] for column in parallel["columns"]]
    assert accessors == ["config:choices.value.norm", "summary:gradient_flow/first_to_last", "summary:test/acc"]
    (importance,) = panels(said, "Parameter Importance")
    assert importance["targetKey"] == "test/acc" and importance["columnOrder"] == ["config:choices.value.norm"]
    flow = next(bar for bar in panels(said, "Bar Chart") if bar["metrics"] == ["gradient_flow/first_to_last"])
    assert flow["expressions"] == ["log10(${gradient_flow/first_to_last})"]
    assert any(scatter.get("xAxisLogScale") for scatter in panels(said, "Scatter Plot"))
    (browser,) = panels(said, "Media Browser")
    assert browser["mediaKeys"] == ["gradient_flow/heat_map"]
    assert {axis["xAxis"] for axis in panels(said, "Run History Line Plot")} == {"epoch", "trainer/global_step"}


def test_values_that_are_no_axes_are_read_from_the_recipe(run, tmp_path):
    for rate in (0.1, 0.2):
        for seed in range(2):
            own = {"wandb": {"id": f"r{rate}{seed}", "mode": "offline"}, "summary": summary(rate + seed / 50)}
            run({"optimizer.lr": rate}, seed, 0.5, history=False, **own)
    (parallel,) = panels(spec(contents(from_results(find([tmp_path / "runs"]), "runs"))), "Parallel Coordinates Plot")
    assert parallel["columns"][0]["accessor"] == "config:recipe.value.optimizer.lr"


def test_the_best_variant_stands_beside_the_baseline_with_one_seed(made):
    grids = [block for block in spec(made())["spec"]["blocks"] if "Run Comparer" in json.dumps(block)]
    (filters,) = [runset["filters"] for runset in found(grids, "runSets")[0]]
    named = {name for name in ("batch0", "batch1", "none0", "none1") if name in json.dumps(filters)}
    assert named == {"batch0", "none0"}


@pytest.mark.parametrize(
    ("missing", "kinds"),
    [
        ({"maps": False}, ["Media Browser"]),
        ({"summary": {"test/acc": 0.5, "val/acc": 0.5}}, ["train/loss", "first_to_last"]),
        ({"gradient_norms": {}}, ["grad_norm"]),
    ],
)
def test_what_no_run_has_has_no_panel(made, missing, kinds):
    said = spec(made(**missing))
    text = json.dumps([found(said, "panelBankSectionConfig")])
    assert not any(kind in text for kind in kinds)
    assert all(grid["panels"] for grid in found(said, "panelBankSectionConfig")), "an empty grid"


def test_a_section_without_panels_says_why(made):
    said = json.dumps(spec(made(maps=False, summary={"test/acc": 0.5}, gradient_norms={})))
    assert "No run in W&B has a curve" in said and "No gradient norms were recorded" in said


def test_runs_of_older_versions_have_no_choices_to_plot(made, tmp_path):
    made()
    for path in tmp_path.glob("runs/*/config.yaml"):
        path.write_text("".join(line for line in path.read_text().splitlines(True) if line != "  sweep: null\n"))
    old = contents(from_results(find([tmp_path / "runs"]), "runs"))
    assert panels(spec(old), "Parallel Coordinates Plot") == []
    assert wandb_report.columns(old) == [
        *("run:displayName", "summary:status", "summary:test/acc", "summary:gradient_flow/first_to_last"),
        *("summary:params", "summary:seconds"),
    ]


@pytest.fixture
def server(monkeypatch, tmp_path):
    import wandb

    wandb.teardown()
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    with ViewServer() as server:
        for name, value in server.environment.items():
            if name != "WANDB_MODE":
                monkeypatch.setenv(name, value)
        yield server
        wandb.teardown()
    assert server.unknown == []


def test_both_are_saved_and_read_back(made, server):
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    shown = made()
    at, dashboards = wandb_report.publish(shown)
    assert server.projects == ["ablate"] and {"upsertView", "UpsertView2"} <= set(server.operations)
    report = wr.Report.from_url(at)
    assert report.entity == ENTITY and report.description == shown.answer[0]
    assert isinstance(report.blocks[0], wr.TableOfContents)
    headings = [block.text for block in report.blocks if isinstance(block, wr.H2)]
    assert headings[:5] == ["Comparison", "Result", "Choices", "Learning curves", "Gradient flow"]
    assert headings[5] == "baseline beside norm=none"
    grids = [block for block in report.blocks if isinstance(block, wr.PanelGrid)]
    assert len(grids) == 5 and all(grid.panels for grid in grids)
    colours = {str(key): colour for key, colour in grids[0].custom_run_colors.items()}
    assert colours["batch1"] == INK and colours["none2"] == SERIES[0]

    workspace = ws.Workspace.from_url(dashboards)
    assert [section.name for section in workspace.sections] == headings[1:5]
    settings = workspace.runset_settings
    assert settings.groupby == [expr.Metric("Group")] and settings.baseline_run == "batch0"
    assert settings.group_colors == {"baseline": INK, "norm=none": SERIES[0]}
    assert settings.pinned_columns == [
        *("run:displayName", "config:choices.value.norm", "summary:status", "summary:test/acc"),
        *("summary:gradient_flow/first_to_last", "summary:params", "summary:seconds"),
    ]


def test_an_agents_runs_are_where_the_server_has_put_them(made, run, tmp_path):
    there = {"id": "a", "mode": "online", "url": "https://wandb.ai/team/sweeps%20of%20ours/runs/a"}
    shown = made(wandb=there)
    assert wandb_report.place(shown) == ("team", "sweeps of ours")


def test_without_a_server_it_says_so(made, monkeypatch, tmp_path):
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    shown = made()
    for error in (OSError("connection refused"), WandbApiFailedError("connection refused")):

        def refused(*arguments: Any, error: Exception = error, **keywords: Any) -> Any:
            raise error

        monkeypatch.setattr("wandb.Api", refused)
        with pytest.raises(
            InputError, match=r"no W&B server took the report \(connection refused\)\. It takes `wandb login`"
        ):
            wandb_report.publish(shown)


def test_runs_that_w_and_b_never_saw_are_refused(run, tmp_path):
    run({"norm": "batch"}, 0, 0.9, history=False)
    run({"norm": "none"}, 0, 0.9, history=False)
    with pytest.raises(InputError, match="none of these runs has a W&B run"):
        wandb_report.publish(contents(from_results(find([tmp_path / "runs"]), "runs")))
