"""What cannot be trained is refused before anything is written, with one message that says what to do."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning import Callback
from wandb.errors import UsageError
from wandb.sdk.wandb_settings import Settings

from ablate.__main__ import called
from ablate.configuration import yaml_file
from ablate.configuration.refusals.guard import guarded
from ablate.configuration.refusals.wording import explained
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.runs import cell
from ablate.runs.tracked.labels import short

REFUSED = {
    "+trainer.max_epoch=3": r"^trainer\.max_epoch=3: Lightning's Trainer does not take it\. Did you mean max_epochs\?",
    "+trainer.overfit_batches=1": r"^trainer\.overfit_batches=1: every epoch would have different images\. .*data\.val",
    "+trainer.limit_predict_batches=2.5": r"invalid value 2\.5 for limit_predict_batches",
    "+trainer.fast_dev_run=true": r"use trainer\.max_epochs=1",
    "+trainer.default_root_dir=there": r"set runs_dir",
    "+trainer.logger=false": r"tracking=disabled",
    "+trainer.plugins={_target_:pytorch_lightning.plugins.environments.SLURMEnvironment}": r"Leave yours out",
    "+trainer.plugins=[{_target_:no.such.Plugin}]": r"no\.such\.Plugin",
    "+trainer.num_nodes=2": r"^trainer\.num_nodes=2: the run sets it itself; .*trainer\.devices",
    "result=best +trainer.limit_val_batches=0": r"^result=best .* clashes with trainer\.limit_val_batches=0: leave one",
    "schedule=reduce_on_plateau +trainer.limit_val_batches=0.0": r"^schedule=reduce_on_plateau .*_val_batches=0\.0",
    "schedule=reduce_on_plateau +trainer.check_val_every_n_epoch=5": r"^schedule=.* trainer\.check_val_every_n_epoch=5",
    "+trainer.max_time=600": r"^trainer\.max_time=600: write days, hours",
    "+trainer.max_time='00:10:00'": r"^trainer\.max_time=00:10:00: .* format DD:HH:MM:SS",
    "+trainer.callbacks={_target_:pytorch_lightning.callbacks.Timer,duration:{hours:1}}": r"Use trainer\.max_time",
    "+trainer.val_check_interval=00:00:10:00": r"^trainer\.val_check_interval=00:00:10:00 is a time: .*such as 0\.5",
    "trainer.precision=8-bit": r"^trainer\.precision=8-bit: choose one of auto, 32-true, bf16-mixed, 16-mixed\.",
    "trainer.precision=64": r"^trainer\.precision=64: choose one of",
    "trainer.precision=bf16-true": r"^trainer\.precision=bf16-true: choose one of",
    "trainer.precision=16": r"^trainer\.precision=16-mixed: on a CPU Lightning computes bf16-mixed",
    "trainer.devices=auto seed=-1": r"^seed=-1",
    "trainer.devices=two": r"^trainer\.devices=two: a whole number",
    "trainer.max_epochs=0": r"trainer\.max_epochs=0: it must not be below 1",
    "optimizer=sgd +optimizer.momentun=0.5": r"torch\.optim\.SGD does not take it\. Did you mean momentum\?",
    "optimizer=sgd optimizer.nesterov=true optimizer.momentum=0.0": r"Nesterov momentum requires a momentum",
    "optimizer.lr=null": r"optimizer\.lr=null: a number is expected",
    "optimizer.weight_decay=-1.0": r"optimizer\.weight_decay=-1\.0: it must not be negative",
    "schedule=multi_step schedule.milestones=[2]": r"milestones are fractions of the training",
    "schedule.warmup.shape=steep": r"`linear` or `constant`",
    "label_smoothing=1": r"label_smoothing=1: it must be at least 0 and below 1",
    "weight_decay_on=biases": r"choose one of all, weights",
    "padding=valid": r"choose one of both, same",
    "matmul_precision=low": r"^matmul_precision=low: choose one of highest, high, medium",
    "result=first": r"choose one of last, best",
    "+norm.momentun=0.5": r"BatchNorm2d does not take it\. Did you mean momentum\?",
    "model.stages=[a,1,1]": r"a list of numbers is expected",
    "model.stages=[1.5,1,1]": r"both whole and at least 1",
    "data.batch_size=1 data.image_size=4": r"one image at a time, on which .* Use a larger batch",
    "data.image_size=-8": r"data\.image_size=-8: it must not be below 1",
    "data.num_classes=0": r"data\.num_classes=0: it must not be below 1",
    "data.mean=[grey]": r"a list of numbers is expected",
    "~init": r"^init is missing",
    "~seed": r"^(\S+: )?seed is missing: .* If ~seed was typed, leave it out and set another value instead\.$",
    "data.image_size=${eval:1+1}": r"^data\.image_size: \$\{eval:…\} is not known here\. Write the value itself",
    "data=arrays": r"With data=arrays, name your two files: data\.images=X\.npy data\.labels=y\.npy",
    "+optimizer.foo=true": r"^optimizer\.foo=true: torch\.optim\.AdamW does not take it",
    "optimizer.lr=true": r"^optimizer\.lr=true: a number is expected",
    "~checkpoint": r"^checkpoint is missing",
    "~trainer.devices": r"^trainer\.devices is missing",
    "~stem.stride": r"^stem\.stride is missing: ablate\.design\.stem\.conv_stem needs it",
    "seed=18446744073709551616": r"^seed=18446744073709551616",
    "threads=1.5": r"^threads=1\.5: a whole number",
    "threads=100000": r"^threads=100000: it must not be above 1024",
    "trainer.accelerator={a:1}": r"^trainer\.accelerator=",
    "trainer.accumulate_grad_batches=auto": r"^trainer\.accumulate_grad_batches=auto: a whole number",
    "+trainer.limit_train_batches=0": r"^trainer\.limit_train_batches=0: .* from 1 up",
    "+trainer.callbacks=5": r"^trainer\.callbacks: 5 is not a Lightning Callback",
    "optimizer=adam optimizer.betas=[0.9]": r"^optimizer\.betas=\[0\.9\]: a list of 2",
    "optimizer.lr=inf": r"^optimizer\.lr=inf: a finite number",
    "data.std=[0.0]": r"^data\.std=\[0\.0\]: .* above 0",
    "data.source.split_seed=5000000000": r"^data\.source\.split_seed=5000000000: it must not be above",
    "data=image_folder data.num_workers=-1": r"^data\.num_workers=-1: it must not be negative",
    "block._target_=": r"^block\._target_=''",
    "block._target_=no.such": r"^block\._target_=no\.such: there is no module no\.",
    "norm._target_=torch.nn.GroupNorm ~norm.momentum": r"^No network can be built .*num_channels",
    "+shortcut.join.pp=1": r"^shortcut\.join\.pp=1: ablate\.design\.shortcut\.Sum does not take it",
    "+data.foo=1": r"^data\.foo=1: ablate\.training\.data\.InMemoryImages does not take it\..* channels_last\.$",
    "model.stages=[1000000,1,1]": r"1,000,002 blocks",
    "model.widths=[4,8,100000000]": r"GiB",
    "norm=[batch,none]": r"norm: \{values: \[batch, none\]\}",
    "+lr=0.1": r"^lr: nothing reads this key\. Did you mean optimizer\.lr\?",
    "+resume=x": r"^resume: nothing reads this key",
    "+model.depth=3": r"^model\.depth: .*Did you mean block\.depth\?",
    "+recipe=he2015_cifar": r"Write recipe=he2015_cifar, without the plus",
    "+experiment=he2015_resnet20": r"Write experiment=he2015_resnet20, without the plus",
    "runs_dir=/josé": r"""Write 'runs_dir="/josé"'\.""",
    "runs_dir=/dev/null": r"^runs_dir=/dev/null: /dev/null is no folder",
    "tracking.project=a/b": r"^tracking\.project=a/b: it must not contain /",
    "tracking.tags=['']": r"^tracking\.tags=\[''\]: '': 1 to 64",
    "tracking.mode=sometimes": r"choose one of offline, online, disabled",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_refused_before_anything_is_written(prepared, tmp_path, overrides):
    with pytest.raises((InputError, HydraException, OmegaConfBaseException)) as refused:
        prepared(*overrides.split(" "))
    message = explained(refused.value)
    assert len(message.splitlines()) == 1
    assert re.search(REFUSED[overrides], message), message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["plan", "sweep"])
def test_an_axis_that_is_null_in_a_sweep_file_is_refused_with_one_message(tmp_path, monkeypatch, capsys, command):
    register_resolvers()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "null.yaml").write_text("{method: grid, parameters: {seed: {value: 0}, norm: {values: [none, null]}}}")
    assert guarded(called, command, ["null.yaml", "tracking=disabled"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("ablate: norm=null: an axis takes the name of an option, not null,")
    assert [path.name for path in tmp_path.iterdir()] == ["null.yaml"]


def test_a_misspelt_wandb_mode_is_refused(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "Offline")
    with pytest.raises(InputError, match=r"WANDB_MODE=Offline.*Did you mean offline"):
        prepared()
    assert list(tmp_path.iterdir()) == []


def test_names_are_words_as_they_were_typed(prepared):
    chosen = prepared("tracking.name=1_1_1", "tracking.group=5", "tracking.tags=[1,a]")
    assert (chosen.cfg.tracking.name, chosen.cfg.tracking.group, chosen.cfg.tracking.tags) == ("1_1_1", "5", ["1", "a"])


def test_a_key_to_which_an_interpolation_refers_is_read(prepared):
    assert prepared("+width=9", "model.widths=[4,8,${width}]").cfg.model.widths == [4, 8, 9]


@pytest.mark.parametrize("tag", ["a", "", "x" * 64, "x" * 65])
@pytest.mark.parametrize("project", ["ours", "my/team", "a:b", "x" * 128, "x" * 129])
def test_what_wandb_refuses_is_refused(prepared, tag, project):
    def refuses(make) -> bool:
        try:
            make()
        except (InputError, ValueError, UsageError):
            return True
        return False

    theirs = refuses(lambda: Settings(run_tags=[tag], project=project))
    assert refuses(lambda: prepared(f"tracking.tags=['{tag}']", f"tracking.project='{project}'")) == theirs


def test_a_generated_name_is_short_enough_for_wandb_and_no_others():
    long = " ".join(f"some.key={number}" for number in range(40))
    assert len(short(long, "0123456789ab")) <= 128 and short(long, "0123456789ab").endswith("0123456789ab")
    assert short("norm=none", "0123456789ab") == "norm=none"


class Seen(Callback):
    """A user's own callback: notes the steps that it saw."""

    steps: ClassVar[list[int]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        Seen.steps.append(trainer.global_step)


@pytest.mark.parametrize("typed", ["data.image_size=4 norm=none", "data.image_size=4 norm=layer", "data.image_size=8"])
def test_one_image_a_batch_is_enough_where_no_norm_averages_a_single_number(prepared, typed):  # type: ignore[no-untyped-def]
    prepared("data.batch_size=1", *typed.split())


# Whose message, in an epoch of ten batches.
TOO_LATE = {
    "result=best +trainer.check_val_every_n_epoch=3 trainer.max_epochs=2": r"before the first validation",
    "result=best +trainer.max_steps=5": r"^result=best: .* the first validation, after batch 10 of an epoch of 10",
    "result=best trainer.accumulate_grad_batches=3 +trainer.val_check_interval=4 +trainer.max_steps=1": "after batch 4",
    "result=best +trainer.check_val_every_n_epoch=null +trainer.val_check_interval=21 trainer.max_epochs=2": "batch 21",
    "schedule=keras_plateau +trainer.val_check_interval=7": r"^The schedule .*_interval=7: of 10 .* after number 7\.",
    "schedule=reduce_on_plateau +trainer.val_check_interval=0.3": r"^The schedule .*=0\.3: of 10 .* after number 9\.",
    "+trainer.val_check_interval=50": r"^trainer\.val_check_interval=50: an epoch has only 10 batches",
    "+trainer.limit_train_batches=0.01": r"^trainer\.limit_train_batches=0\.01: an epoch has 10 .* none to train on",
}


@pytest.mark.parametrize("overrides", TOO_LATE)
def test_what_the_number_of_batches_decides_is_refused_before_anything_is_written(prepared, tmp_path, overrides):
    with pytest.raises(InputError, match=TOO_LATE[overrides]):
        cell.run(prepared(*overrides.split(" ")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "overrides",
    [
        "result=best trainer.accumulate_grad_batches=3 +trainer.val_check_interval=4 +trainer.max_steps=2",
        "result=best +trainer.check_val_every_n_epoch=2 trainer.max_epochs=3",
        "result=best +trainer.check_val_every_n_epoch=null +trainer.val_check_interval=20 trainer.max_epochs=2",
        "schedule=keras_plateau +trainer.val_check_interval=5 trainer.max_epochs=1",
    ],
)
def test_a_validation_that_comes_at_the_last_moment_will_do(prepared, overrides):
    record, _ = cell.run(prepared(*overrides.split(" ")))
    assert record.status == "finished"


def test_a_users_callbacks_loggers_and_plugins_join_the_runs_own(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(Seen, "steps", [])
    monkeypatch.setitem(sys.modules, "of_the_user", SimpleNamespace(Seen=Seen))
    chosen = prepared(
        *("trainer.max_epochs=1", "+trainer.limit_train_batches=3", "trainer.precision=null"),
        "+trainer.callbacks={_target_:of_the_user.Seen}",
        f"+trainer.logger={{_target_:pytorch_lightning.loggers.CSVLogger,save_dir:{tmp_path},name:a,version:b}}",
        "+trainer.plugins={_target_:pytorch_lightning.plugins.MixedPrecision,precision:bf16-mixed,device:cpu}",
    )
    record, _ = cell.run(chosen)
    assert record.status == "finished" and record.summary["val/acc"] > 0
    assert Seen.steps == [1, 2, 3]
    assert "test/acc" in (tmp_path / "a" / "b" / "metrics.csv").read_text().splitlines()[0]


BAR = "+trainer.callbacks=[{_target_:pytorch_lightning.callbacks.TQDMProgressBar}]"


@pytest.mark.parametrize("on_a_terminal", [False, True])
def test_a_users_progress_bar_takes_the_place_of_the_runs_own(prepared, monkeypatch, capsys, on_a_terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_a_terminal)
    chosen = prepared(BAR, "trainer.max_epochs=1", "+trainer.limit_train_batches=2")
    record, _ = cell.run(chosen)
    assert record.status == "finished"
    said = capsys.readouterr()
    assert "Epoch 0: 100%" in said.out + said.err
    assert ("epoch 1/1" in said.out) == (not on_a_terminal)


def test_no_bar_and_a_bar_clash(prepared):
    with pytest.raises(InputError, match=r"enable_progress_bar=False.*found `TQDMProgressBar`"):
        prepared(BAR, "+trainer.enable_progress_bar=false")


def test_a_users_model_checkpoint_makes_its_folder(prepared, tmp_path):
    folder = tmp_path / "mine" / "deep"
    chosen = prepared(
        "trainer.max_epochs=1",
        f"+trainer.callbacks=[{{_target_:pytorch_lightning.callbacks.ModelCheckpoint,dirpath:{folder}}}]",
    )
    record, _ = cell.run(chosen)
    assert record.status == "finished" and [path.suffix for path in folder.iterdir()] == [".ckpt"]


def test_a_file_that_is_not_there_names_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shortcut.yaml").write_text("{}")
    with pytest.raises(InputError, match=r"shortcutt\.yaml: No such file .* Did you mean shortcut\.yaml\?$"):
        yaml_file.text(Path("shortcutt.yaml"))
