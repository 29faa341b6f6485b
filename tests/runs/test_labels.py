"""What W&B is told of a run beside its numbers: by which words it can be found, filtered and grouped."""

import pytest

from ablate.configuration import composition
from ablate.configuration.composition import Composition
from ablate.configuration.fingerprint import fingerprint
from ablate.configuration.resolvers import register_resolvers
from ablate.runs import cell
from ablate.runs.tracked.labels import NAME, labels
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan


@pytest.fixture(autouse=True)
def no_agent(monkeypatch):
    register_resolvers()
    for name in ("WANDB_SWEEP_ID", "WANDB_TAGS", "WANDB_RUN_GROUP", "WANDB_NAME", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.delenv(name, raising=False)


def of(*typed: str):
    return labels(cell.prepare(Composition.of(["trainer=cpu", *typed])))


@pytest.mark.parametrize(
    ("typed", "group"),
    [
        ([], "baseline"),
        (["threads=1", "trainer.max_epochs=3"], "baseline max_epochs=3"),
        (["norm=batch", "gradient_norms.series=all", "runs_dir=elsewhere"], "baseline"),
        (["threads=1", "norm=none", "optimizer.lr=0.2"], "norm=none optimizer.lr=0.2"),
        (["variant='norm=none activation=gelu'"], "norm=none activation=gelu"),
        (["experiment=he2016_original", "data=digits"], "experiment=he2016_original data=digits"),
        (["+trainer.limit_val_batches=1.0"], "baseline limit_val_batches=1.0"),
    ],
)
def test_a_group_is_a_variant_and_a_name_has_the_seed_too(typed, group):
    for seed in (0, 3):
        found = of(*typed, f"seed={seed}")
        assert (found.group, found.name) == (group, f"{group} seed={seed}")


def test_choices_are_words_and_values_that_differ_stand_beside_them():
    found = of("model=resnet34", "optimizer.lr=0.2", "model.widths=[8,16,32,64]", "seed=1").config
    assert found["choices"]["shortcut"] == "projection" and found["choices"]["model"] == "resnet34"
    assert {key for key in found if key not in ("choices", "recipe")} == {"seed", "optimizer.lr", "model.widths"}
    assert (found["seed"], found["optimizer.lr"], found["model.widths"]) == (1, 0.2, [8, 16, 32, 64])
    assert found["recipe"]["optimizer"]["lr"] == 0.2 and found["recipe"]["norm"]["_target_"]


def test_what_an_experiment_sets_differs_and_what_an_option_says_does_not():
    found = of("experiment=he2015_resnet20", "optimizer=adamw").config
    assert found["choices"]["experiment"] == "he2015_resnet20" and found["choices"]["data"] == "cifar10"
    assert found["trainer.max_epochs"] == 182
    assert not any(key.startswith(("data.", "schedule.")) for key in found)


def test_a_whole_network_has_its_name_and_no_axis_that_it_does_not_use():
    found = of("model=torchvision", "model.name=resnet18").config
    assert found["choices"]["model"] == "torchvision" and found["model.name"] == "resnet18"
    assert not {"norm", "shortcut", "block", "placement", "head"} & {*found["choices"], *found["recipe"]}


def test_what_the_user_says_is_said_and_the_environment_is_left_to_w_and_b(monkeypatch):
    found = of("tracking.name=mine", "tracking.group=ours", "tracking.tags=[]")
    assert (found.name, found.group, found.tags) == ("mine", "ours", [])
    monkeypatch.setenv("WANDB_RUN_GROUP", "theirs")
    monkeypatch.setenv("WANDB_TAGS", "a,b")
    found = of("tracking.tags=[mine]")
    assert (found.group, found.tags) == (None, ["mine"])


def test_long_variants_get_names_of_the_servers_length_that_are_apart():
    same = "model=resnet34 norm=group placement=full_pre_activation activation=leaky_relu init=glorot_uniform"
    same += " optimizer.lr=0.05 schedule.warmup.fraction=0.25"
    found = [of(*same.split(), f"label_smoothing={smoothing}", "seed=7") for smoothing in (0.1, 0.2)]
    assert len({label.group for label in found}) == len({label.name for label in found}) == 2
    assert all(len(label.name) <= NAME and len(label.group) <= NAME for label in found)
    assert all(label.name.endswith(" seed=7") for label in found)


def test_under_an_agent_the_sweeps_own_names_stay_and_are_said_once(monkeypatch, tmp_path):
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("wandb_version: 1\noptimizer.lr: {value: 1e-2}\nshortcut: {value: none}\n")
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(parameters))
    found = of("optimizer.lr=0.01", "shortcut=none", "label_smoothing=0.1")
    assert found.tags == ["abc", "digits"]
    assert set(found.config) == {"choices", "seed", "threads", "recipe", "label_smoothing"}  # the rest W&B adds itself
    assert found.config["choices"]["shortcut"] == "none"


def test_cells_of_a_sweep_are_told_which_and_it_is_in_no_fingerprint(tmp_path):
    (tmp_path / "ours.yaml").write_text("method: grid\nparameters: {norm: {values: [batch]}, seed: {values: [0, 1]}}\n")
    cells = plan(SweepFile.read(tmp_path / "ours.yaml"), [f"runs_dir={tmp_path / 'runs'}", "trainer=cpu"])
    for planned in cells:
        told = cell.prepare(Composition.of(planned.told))
        assert told.fingerprint == planned.fingerprint
        assert fingerprint(cell.prepare(Composition.of(planned.overrides)).values) == planned.fingerprint
        assert labels(told).tags == ["ours", "digits"] and labels(told).group == "baseline"


def test_a_tracking_option_of_the_users_without_a_sweep_is_not_told(tmp_path):
    (tmp_path / "mine" / "tracking").mkdir(parents=True)
    own = "mode: disabled\nproject: p\nentity: null\nname: null\ngroup: null\ntags: []\njob_type: train\n"
    (tmp_path / "mine" / "tracking" / "own.yaml").write_text(own + "report_stored: true\n")
    (tmp_path / "ours.yaml").write_text("method: grid\nparameters: {norm: {values: [batch]}}\n")
    typed = [f"hydra.searchpath=['file://{tmp_path / 'mine'}']", "tracking=own", "trainer=cpu"]
    (planned,) = plan(SweepFile.read(tmp_path / "ours.yaml"), [f"runs_dir={tmp_path / 'runs'}", *typed])
    assert planned.told == planned.overrides and labels(cell.prepare(Composition.of(planned.told))).tags == []


def test_what_is_composed_without_an_override_is_composed_once_for_all_seeds(monkeypatch):
    compositions = []
    monkeypatch.setattr(
        composition,
        "composed",
        lambda overrides, own=composition.composed: compositions.append(overrides) or own(overrides),
    )
    typed = ["norm=none", "trainer=cpu", "trainer.max_epochs=3"]
    for seed in (4, 5):
        of_seed = Composition.of([*typed, f"seed={seed}"])
        compositions.clear()
        expected = Composition.of(["norm=none", "trainer.max_epochs=3", f"seed={seed}"]).values()
        compositions.clear()
        assert of_seed.without("trainer") == expected and expected["seed"] == expected["data"]["seed"] == seed
    assert compositions == []
