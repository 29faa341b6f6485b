"""One word for a run's gradient, warnings, and the pictures' numbers."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from ablate.runs import cell
from ablate.runs import record as run_record
from ablate.training import build
from ablate.training.assembly import network
from ablate.training.gradients import drawing
from ablate.training.gradients.flow import LEAST, WINDOW, EarlyWarning, branch_convs, flow_of, judged
from ablate.training.gradients.flow_pictures import FlowPictures
from ablate.training.gradients.layers import MATRIX, Layer
from ablate.training.gradients.norms import GradientNorms
from ablate.training.gradients.pictures import COLUMNS, heat_maps
from ablate.training.gradients.reading import Gradients, read
from ablate.training.gradients.recorder import READABLE, series
from ablate.training.saving.history import PENDING_ROWS, RunHistory, last_steps


@pytest.mark.parametrize(
    ("first_to_last", "verdict"),
    # Medians over the last 100 steps of networks of depth 56 and 20, as in docs/gradients.md.
    [
        (7.8e-5, "vanishing"),
        (1.8e-6, "vanishing"),
        (0.0, "vanishing"),
        (0.11, "even"),
        (0.61, "even"),
        (7.7, "even"),
        (33.1, "even"),
        (540, "exploding"),
        (5690, "exploding"),
    ],
)
def test_the_word_for_a_ratio(first_to_last, verdict):
    # 54 convolutions, evenly between; two steps of any size in both directions leave the median alone.
    profile = np.concatenate([np.geomspace(np.clip(first_to_last, 1e-9, 1e9), 1, 54)[:-1], [1.0]]) * 1e-3
    profile[0] = first_to_last * 1e-3
    rms = np.tile(profile, (9, 1))
    rms[0], rms[5] = 1e9, 1e-9
    flow = judged(rms)
    assert flow.verdict == verdict and flow.first_to_last == pytest.approx(first_to_last)


@pytest.mark.parametrize(
    ("medians", "verdict", "ratio"),
    [
        ([1.0, 1.0, 0.0], "vanishing", math.nan),
        ([0.0, 1.0, 0.0], "vanishing", math.nan),
        ([1.0, 0.0, 1e-3], "vanishing", 1e3),
        ([math.inf, 0.0, 1.0], "exploding", math.nan),
        ([1.0, 0.0, math.inf], "exploding", math.nan),
    ],
)
def test_not_finite_comes_before_zero_and_zero_before_the_ratio(medians, verdict, ratio):
    flow = judged(np.tile(medians, (3, 1)))
    assert flow.verdict == verdict and flow.first_to_last == pytest.approx(ratio, nan_ok=True)
    assert math.isnan(flow.decay_per_layer) == math.isinf(max(medians))


@pytest.mark.parametrize(
    ("last", "first", "head", "verdict", "size"),
    [
        (0.3, 0.3, 0.1, "even", 0.3),
        (5.0, 0.1, 20.0, "exploding", 5.0),  # weights 1.5 times too large
        (1e-3, 4e3, 1e-3, "exploding", 4e3),
        (0.3, 0.3, 1e-3, "exploding", 0.3),
        (0.3, 0.3, 0.0, "even", 0.3),
        (0.3, 0.3, math.nan, "even", 0.3),
    ],
)
def test_an_even_gradient_is_asked_for_its_size(last, first, head, verdict, size):
    flow = judged(np.full((9, 5), last), np.full(9, head), np.full((4, 5), first))
    assert (flow.verdict, flow.size, flow.first_to_last) == (verdict, pytest.approx(size), 1)


def test_one_wild_step_and_one_wild_layer_are_no_size():
    rms = np.full((9, 5), 1e-2)
    rms[0], rms[:, 2] = 1e6, 50.0
    assert judged(rms, None, rms[:4]).verdict == "even"


def test_too_large_weights_make_it_explode_and_are_warned_of(prepared, monkeypatch):
    initialised = build.initialised_network

    def enlarged(cfg):
        net = initialised(cfg)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.weight *= 3
        return net

    monkeypatch.setattr(build, "initialised_network", enlarged)
    quiet = ("optimizer.lr=1e-9", "schedule=constant", "trainer.precision=32-true", "trainer.max_epochs=3")
    chosen = prepared(*quiet, "norm=none", "model.stages=[3,3,3]")
    record, _ = cell.run(chosen)
    assert record.status == "finished" and record.summary["train/loss_step"] > 1e3
    assert record.gradient_flow == "exploding" and 0.1 < record.summary["gradient_flow/first_to_last"] < 10
    table = pq.read_table(chosen.directory / "gradient_norms.parquet").to_pandas()
    convs = table[table.layer.astype(str).str.match(r"stage.*conv")]
    windows = [convs[convs.step < 10], convs]
    expected = max(window.groupby("layer", observed=True).rms.median().median() for window in windows)
    assert record.summary["gradient_flow/size"] == pytest.approx(expected, rel=1e-5) and expected > 100
    (line,) = [text for text in (chosen.directory / "run.log").read_text().splitlines() if "the gradient is" in text]
    assert "exploding at step 19: it is even over depth, but its root mean square is" in line


def test_the_word_of_older_records_is_read(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"status": "finished", "gradient_flow": "healthy"}))
    assert run_record.read(tmp_path).gradient_flow == "even"


def test_decay_is_the_slope_per_convolution():
    flow = judged(np.tile(10.0 ** np.arange(-5, 0), (3, 1)))
    assert flow.decay_per_layer == pytest.approx(1) and flow.first_to_last == pytest.approx(1e-4)
    assert judged(np.tile(10.0 ** np.arange(0, -5, -1), (3, 1))).decay_per_layer == pytest.approx(-1)


def test_a_layer_that_has_a_gradient_at_some_steps_is_judged_by_those_and_others_not_at_all():
    some = np.array([[1.0, np.nan, 2.0, np.nan], [1.0, np.nan, 2.0, 4.0], [1.0, np.nan, 2.0, np.nan]])
    assert judged(some).first_to_last == 0.25
    assert judged(np.full((3, 5), np.nan)) is None and judged(some[:, :2]) is None
    assert judged(np.array([[1.0, np.inf, 1.0]])).verdict == "exploding"


def damped(net: nn.Module, factor: float) -> None:
    """Each block hands `factor` times its gradient on, towards the image."""

    def scale(module: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        return output * factor + output.detach() * (1 - factor)

    for block in net.blocks:
        block.register_forward_hook(scale)


@pytest.mark.parametrize(("factor", "verdict"), [(1e-2, "vanishing"), (1, "even"), (1e2, "exploding")])
def test_a_run_says_it_in_one_word_and_warns_while_it_lasts(prepared, monkeypatch, factor, verdict):
    initialised = build.initialised_network

    def altered(cfg):
        net = initialised(cfg)
        damped(net, factor)
        return net

    monkeypatch.setattr(build, "initialised_network", altered)
    quiet = ("optimizer.lr=1e-6", "schedule=constant", "trainer.precision=32-true", "trainer.max_epochs=3")
    chosen = prepared(*quiet, "shortcut=none", "model.stages=[2,2,2]")
    record, _ = cell.run(chosen)
    assert record.gradient_flow == verdict
    summary = json.loads((chosen.directory / "run.json").read_text())["summary"]
    rows = last_steps(chosen.directory / "gradient_norms.parquet", WINDOW).to_pylist()
    first, last = (
        np.median([row["rms"] for row in rows if row["layer"] == layer])
        for layer in ("stage1.block1.conv1", "stage3.block2.conv2")
    )
    assert summary["gradient_flow/first_to_last"] == pytest.approx(first / last, rel=1e-6)
    assert np.sign(summary["gradient_flow/decay_per_layer"]) == {"vanishing": 1, "exploding": -1}.get(
        verdict, np.sign(summary["gradient_flow/decay_per_layer"])
    )
    log = (chosen.directory / "run.log").read_text()
    if verdict == "even":
        assert "gradient" not in log
    else:
        assert log.count(f"the gradient is {verdict} at step 19") == log.count("the gradient is") == 1
        assert "the root mean square of stage1.block1.conv" in log


@pytest.fixture(scope="module")
def plain(compose_cfg) -> tuple[nn.Module, GradientNorms]:
    net = network(compose_cfg("shortcut=none"))
    return net, GradientNorms(net)


def test_only_the_branches_convolutions_are_judged(compose_cfg):
    net = network(compose_cfg("model=resnet20", "shortcut=projection_all"))
    convs = branch_convs(net)
    assert len(convs) == 18 and convs[0] == "stage1.block1.conv1" and convs[-1] == "stage3.block3.conv2"


def test_a_gradient_that_is_not_finite_is_named_once(plain, caplog):
    net, measured = plain
    norms = np.ones((3, len(measured.layers)))
    norms[1, 4], norms[2, 2] = math.nan, math.inf
    warning = EarlyWarning(net, measured)
    warning.see([7, 8, 9], norms)
    warning.see([10, 11, 12], norms)
    (message,) = caplog.messages
    assert message == f"the gradient of {measured.layers[4]} is not finite at step 8"


def test_the_first_steps_alone_and_an_outlier_raise_no_alarm(plain, caplog):
    net, measured = plain
    first = measured.layers.index("stage1.block1.conv1")
    warning = EarlyWarning(net, measured)
    wild = 1e-2 * np.sqrt(np.tile(measured.sizes, (LEAST - 1, 1)))
    wild[:, first] *= 1e4
    warning.see(list(range(LEAST - 1)), wild)
    calm = 1e-2 * np.sqrt(np.tile(measured.sizes, (LEAST + 5, 1)))
    calm[0, first] *= 1e5
    warning.see(list(range(LEAST - 1, 2 * LEAST + 4)), calm)
    assert caplog.messages == []


def test_a_few_layers_of_each_stage_get_a_series_unless_all_are_asked_for(compose_cfg):
    with torch.device("meta"):
        deep = GradientNorms(network(compose_cfg("model=resnet110")))
    names = [deep.layers[i] for i in series(deep, "few")]
    assert {name.split(".")[0] for name in names} == {"stem", "stage1", "stage2", "stage3", "head"}
    assert len(names) == 11 and {"stage1.block1.conv1", "stage3.block18.conv2", "head.linear"} <= set(names)
    assert not any("norm" in name for name in names)
    assert [deep.layers[i] for i in series(deep, "all")] == deep.layers


def test_a_network_of_many_parts_without_stages_gets_a_few_series_too():
    net = nn.Sequential(*(nn.Linear(3, 3) for _ in range(50)))
    few = series(GradientNorms(net), "few")
    assert len(few) == 12 < READABLE and {0, 49} <= set(few)
    assert series(GradientNorms(nn.LayerNorm(4)), "few") == [0]


def log_rms(history: RunHistory, measured: GradientNorms, steps: list[int], rms: np.ndarray) -> None:
    norms = rms * np.sqrt(measured.sizes)
    history.log_gradient_norms(steps, measured.layers, measured.depths, norms, {"rms": np.ma.array(rms)})


@pytest.mark.parametrize("every", [1, 7])
def test_a_pictures_columns_are_geometric_means(plain, tmp_path, every):
    _, measured = plain
    history = RunHistory(tmp_path, layers=measured.described)
    count = 3 * COLUMNS
    steps = [every * i for i in range(count)]
    rms = np.geomspace(1e-9, 1e3, count)[:, None] * np.linspace(1, 2, len(measured.layers))
    rms[5, 4], rms[6, 4] = math.nan, math.inf
    log_rms(history, measured, steps[:100], rms[:100])
    history.save()
    log_rms(history, measured, steps[100:], rms[100:])
    history.save()
    parts = read(history.parts_of("gradient_norms"), COLUMNS)
    history.join()
    drawn = read([tmp_path / "gradient_norms.parquet"], COLUMNS)
    np.testing.assert_array_equal(parts.rms, drawn.rms)
    kept = [i for i, layer in enumerate(measured.described) if layer.kind == MATRIX]
    assert measured.layers[4] == "stage1.block1.conv2" and kept.index(4) == 2
    assert [layer.name for layer in drawn.layers] == [measured.layers[i] for i in kept]
    assert drawn.rms.shape == (len(kept), COLUMNS) and drawn.steps == steps[-1] + 1
    assert np.isfinite(drawn.rms).all()
    assert drawn.label(1) == ("steps 3 to 5" if every == 1 else "steps 21 to 41")
    if every == 1:
        expected = np.log10(rms).reshape(COLUMNS, 3, -1).mean(1).T[kept]
        np.testing.assert_allclose(np.delete(drawn.rms, 2, 0), np.delete(expected, 2, 0), atol=1e-6)
        np.testing.assert_allclose(drawn.rms[2, 1], math.log10(rms[3, 4] * rms[4, 4]) / 2, rtol=1e-5)
        np.testing.assert_allclose(np.delete(drawn.relative, 2, 0), np.delete(expected - expected[-1], 2, 0), atol=1e-6)
        assert np.argwhere(drawn.broken).tolist() == [[2, 1], [2, 2]]
    assert len(heat_maps({"one": drawn, "two": parts}).axes) == 5, "two maps, two profiles, one scale"


def test_the_colours_of_a_fading_an_even_and_a_growing_gradient():
    shown = drawing.colours(np.array([[-9.0, -4.0, -2.0, -0.5, 0.0, 0.4, 2.0, 4.0, np.nan]]))[0]
    assert (shown[0] == shown[1]).all() and (shown[3:6, :3] == 0xF7).all()
    assert (shown[:3, 2] > shown[:3, 0]).all() and (shown[6:8, 0] > shown[6:8, 2]).all(), "blue, orange"
    assert shown[:, 3].tolist() == [255] * 8 + [0]


def test_a_map_is_hatched_where_it_is_not_finite_and_the_images_end_is_at_the_top():
    layers = tuple(Layer(name, depth, 1, MATRIX) for name, depth in (("stem", 0.0), ("head", 1.0)))
    relative = np.array([[-4.0, -4.0], [0.0, 0.0]])
    pixels = drawing.image(Gradients(layers, relative, relative, np.array([[0, 1], [0, 0]], dtype=bool), 2), 40, 40)
    assert len(np.unique(pixels[:20, :20].reshape(-1, 4), axis=0)) == 1 and pixels[0, 0, 2] > pixels[0, 0, 0]
    assert len(np.unique(pixels[:20, 20:].reshape(-1, 4), axis=0)) == 2, "stripes"
    assert (pixels[20:] == [0xF7, 0xF7, 0xF7, 255]).all()


@pytest.mark.parametrize(
    ("names", "stages"),
    [
        ("stem.conv stage1.a stage1.b stage2.a stage2.b head.linear", ["stem", "stage1", "stage2", "head"]),
        ("f.0.a f.0.b f.1.a f.1.b f.2.a classifier", ["f.0", "f.1", "f.2", "classifier"]),
        (" 0 1", ["itself", "0", "1"]),
    ],
)
def test_the_stages_of_any_network(names, stages):
    layers = [Layer(name, i, 1, MATRIX) for i, name in enumerate(names.split(" "))]
    assert [stage.name for stage in drawing.stages(layers)] == stages


def test_records_of_a_deep_network_wait_in_bounded_memory(tmp_path):
    history = RunHistory(tmp_path)
    layers = [f"layer{i}" for i in range(2_400)]
    flush = np.ones((64, len(layers)))
    for start in range(0, 640, 64):
        history.log_gradient_norms(list(range(start, start + 64)), layers, np.linspace(0, 1, 2_400), flush, {})
        waiting = sum(table.num_rows for table in history._norms)
        assert waiting < PENDING_ROWS
    history.join()
    assert pq.ParquetFile(tmp_path / "gradient_norms.parquet").metadata.num_rows == 640 * 2_400
    table = last_steps(tmp_path / "gradient_norms.parquet", 300)
    assert table.num_rows == 300 * 2_400 and min(table["step"].to_pylist()) == 340


def test_a_finished_run_has_its_pictures(prepared):
    chosen = prepared("gradient_norms.pictures=true", "trainer.max_epochs=1")
    cell.run(chosen)
    files = sorted(path.name for path in (chosen.directory / "gradient_flow").iterdir())
    assert files == ["heat_map.png", "rms_by_step.png"]
    assert all((chosen.directory / "gradient_flow" / name).read_bytes()[:4] == b"\x89PNG" for name in files)
    drawn = read([chosen.directory / "gradient_norms.parquet"], COLUMNS)
    rows = pq.read_table(chosen.directory / "gradient_norms.parquet").to_pylist()
    names = [layer.name for layer in drawn.layers]
    rms = {(row["layer"], row["step"]): row["rms"] for row in rows if row["layer"] in names}
    assert names[-1] == "head.linear" and not any("norm" in name for name in names)
    for (layer, step), value in rms.items():
        where = names.index(layer), step
        assert drawn.rms[where] == pytest.approx(math.log10(value), abs=1e-5)
        assert drawn.relative[where] == pytest.approx(math.log10(value / rms["head.linear", step]), abs=1e-5)
    assert flow_of(chosen.directory / "gradient_norms.parquet", network(chosen.cfg)) is not None


def test_pictures_before_the_end_wait_for_their_share_of_the_time(prepared, monkeypatch):
    drawn: list[int] = []
    clock = iter(np.arange(0, 1e6, 20.0))  # that much between any two looks at the clock
    monkeypatch.setattr("ablate.training.gradients.flow_pictures.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(FlowPictures, "draw", lambda self, files, step, title: drawn.append(step))
    cell.run(prepared("gradient_norms.pictures=true", "trainer.max_epochs=3"))
    assert drawn == [30, 30], "a drawing of one second may follow fifty of training, and one is made at the end"


def test_nothing_recorded_is_no_verdict_and_no_picture(prepared):
    chosen = prepared("gradient_norms.pictures=true", "gradient_norms.every_n_steps=0", "trainer.max_epochs=1")
    record, _ = cell.run(chosen)
    assert record.gradient_flow is None and not (chosen.directory / "gradient_flow").exists()
    assert not any(Path(name).name.startswith("gradient_flow") for name in record.summary)
