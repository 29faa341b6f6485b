"""The W&B Report and the workspace as the library's own models, without a server. 2 s."""

import json
from typing import Any

import pytest

from ablate.comparison.gathering import from_results
from ablate.comparison.results import find
from ablate.errors import InputError
from ablate.report import wandb_report
from ablate.report.contents import contents

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's own


@pytest.fixture
def made(run, tmp_path):
    for norm in ("batch", "none"):
        for seed in range(3):
            w_and_b = {"id": f"{norm}{seed}", "mode": "offline", "url": None}
            value = 0.9 - (norm == "none") / 10 + seed / (90 + len(norm))
            run({"norm": norm}, seed, value, history=False, wandb=w_and_b)
    return contents(from_results(find([tmp_path / "runs"]), "runs"))


def found(value: Any, key: str) -> list[Any]:
    """Everything below `key` in nested JSON."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value[key]] if isinstance(value, dict) and key in value else []
    return own + [hit for item in inner for hit in found(item, key)]


def test_a_run_set_is_a_variant_with_its_own_runs(made):
    report = wandb_report.built(made, "somebody", "ablate")
    spec = json.loads(report._to_model().model_dump_json(by_alias=True))
    sets = [runset for block in found(spec, "runSets") for runset in block]
    assert [s["name"] for s in sets[:2]] == ["baseline", "norm=none"]
    assert "none0" in json.dumps(sets[1]) and "batch0" not in json.dumps(sets[1])
    assert all(f"{norm}{seed}" in json.dumps(sets[-1]) for norm in ("batch", "none") for seed in range(3))


def test_the_panels_are_those_of_the_page(made):
    model = wandb_report.built(made, "somebody", "ablate")._to_model()
    text = model.model_dump_json(by_alias=True)
    assert (model.project.name, model.project.entity_name) == ("ablate", "somebody")
    for panel in ("Bar Chart", "Run History Line Plot", "Scatter Plot", "Parameter Importance"):
        assert panel in text
    for metric in ("test/acc", "val/acc", "train/loss", "grad_norm/.*", "stddev"):
        assert metric in text
    assert made.answer[0][:30] in text


def test_the_workspace_has_the_same_panels(made):
    view = wandb_report.workspace("test/acc", "somebody", "ablate")._to_model()
    text = view.model_dump_json(by_alias=True)
    for said in ("Result", "Learning curves", "Gradient flow", "grad_norm/.*", "Parameter Importance"):
        assert said in text


def test_without_a_server_it_says_so(made, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))

    def refused(*arguments: Any, **keywords: Any) -> Any:
        raise OSError("connection refused")

    monkeypatch.setattr("wandb.Api", refused)
    with pytest.raises(
        InputError, match=r"no W&B server took the report \(connection refused\)\. It takes `wandb login`"
    ):
        wandb_report.publish(made)


def test_runs_that_w_and_b_never_saw_are_refused(run, tmp_path):
    run({"norm": "batch"}, 0, 0.9, history=False)
    run({"norm": "none"}, 0, 0.9, history=False)
    with pytest.raises(InputError, match="none of these runs has a W&B run"):
        wandb_report.publish(contents(from_results(find([tmp_path / "runs"]), "runs")))
