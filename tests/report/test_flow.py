"""Heat maps of several runs, and what watching gradients costs: the commands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.errors import InputError
from ablate.report import bench, flow
from ablate.report.bench import gradients
from ablate.study import cell
from ablate.study.commandline import register_resolvers
from ablate.study.composition import Composition


def test_runs_of_different_depth_side_by_side(prepared, tmp_path):
    runs = []
    for stages in ("[1,1,1]", "[2,2,2]"):
        norm = "norm=batch" if stages == "[1,1,1]" else "norm=none"
        chosen = prepared(f"model.stages={stages}", norm, "trainer.max_epochs=1")
        cell.run(chosen)
        runs.append(str(chosen.directory))
    out = tmp_path / "flow.png"
    flow.write([*runs, str(out)])
    assert out.read_bytes()[:4] == b"\x89PNG"
    records = [json.loads((Path(run) / "run.json").read_text()) for run in runs]
    verdicts = [record["gradient_flow"] for record in records]
    assert flow._titles(records) == [f"norm=batch: {verdicts[0]}", f"norm=none: {verdicts[1]}"]
    same = [record | {"choices": records[0]["choices"]} for record in records]
    assert flow._titles(same) == [f"{r['fingerprint']}: {v}" for r, v in zip(records, verdicts, strict=True)]


@pytest.mark.parametrize("arguments", [[], ["x.png"], ["runs/none"], ["runs/none", "x.png"]])
def test_what_is_no_run_is_refused_with_one_message(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        flow.write(arguments)
    assert not (tmp_path / "x.png").exists()


def test_a_run_without_records_is_refused(prepared, tmp_path):
    chosen = prepared("gradient_norms.every_n_steps=0", "trainer.max_epochs=1")
    cell.run(chosen)
    with pytest.raises(InputError, match="every_n_steps=0"):
        flow.write([str(chosen.directory), str(tmp_path / "x.png")])
    with pytest.raises(InputError, match=f"there is no folder {tmp_path / 'nowhere'}"):
        flow.write([str(chosen.directory), str(tmp_path / "nowhere" / "x.png")])  # before any run is looked at


def test_the_command_line_refuses_it_with_exit_code_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "ablate", "flow", "nowhere", "x.png"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("ablate: nowhere") and len(done.stderr.splitlines()) == 1


def test_the_bench_pairs_all_ways_of_watching(monkeypatch, capsys):
    register_resolvers()
    monkeypatch.setattr(gradients, "NETWORKS", (("resnet20", 8, 4, 3),))
    bench.show(Composition.of(["trainer=cpu", "threads=1"]), as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert set(shown["hardware"]) == {"cpu", "cores", "gpus"}
    (row,) = shown["gradients"]
    assert row.pop("network") == "resnet20, 8x8, batch 4"
    assert len(row) == 5 and all(value > 0 for value in row.values())


@pytest.mark.parametrize(
    "ignored",
    ["compile=default", "matmul_precision=highest", "trainer.gradient_clip_val=1", "gradient_norms.pictures=false"],
)
def test_what_the_bench_does_not_do_is_refused(monkeypatch, ignored):
    register_resolvers()
    monkeypatch.setattr(gradients, "NETWORKS", ())
    with pytest.raises(InputError, match=rf"^{ignored}: the bench .* does nothing with it"):
        gradients.compare(["trainer=cpu", "trainer.precision=32-true", ignored])


def test_each_way_of_watching_gets_as_many_steps():
    ways = {name: gradients.Watching() for name in "abc"}
    turns = gradients.TakingTurns(ways, iter(range(99)).__next__)
    order = []
    for step in range(12):
        turns.on_train_batch_start(None, None, None, step)
        order.append(turns._name)
        turns.on_train_batch_end(None, None, {}, None, step)
    rounds = [order[i : i + 3] for i in range(0, 12, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds) and len({tuple(names) for names in rounds}) > 1
    assert turns.seconds == {name: [1] * 4 for name in ways}
