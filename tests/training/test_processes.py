"""A run on several processes: what they tell each other, and what a checkpoint holds of all of them."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ablate.errors import InputError
from ablate.process.interrupt import Interrupted, StopRequest
from ablate.runs import cell, record
from ablate.training import build
from ablate.training.gradients.recorder import StepRecorder
from ablate.training.images.loaders import EpochSampler
from ablate.training.saving.checkpoints import Checkpoints
from ablate.training.saving.staging import Staging
from ablate.training.saving.stopping import ASKED_EVERY, Stopping

# What `srun`, `torchrun` and `jsrun` say to the second of their processes, which may be a worker of a sweep.
LEFT_OVER = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "GROUP_RANK": "1",
    "NODE_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "192.0.2.1",
    "MASTER_PORT": "29500",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_NTASKS": "4",
    "SLURM_JOB_NAME": "sweep",
    "JSM_NAMESPACE_RANK": "1",
    "JSM_NAMESPACE_SIZE": "4",
    "JSM_NAMESPACE_LOCAL_RANK": "1",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}


def test_a_run_decides_its_own_rank(prepared, monkeypatch):
    for name, value in LEFT_OVER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning reads it at its import
    before = dict(os.environ)
    ended, _ = cell.run(prepared("trainer.max_epochs=1"))
    assert ended.status == "finished" and "test/acc" in ended.summary and ended.gradient_norms
    assert {name: os.environ.get(name) for name in LEFT_OVER} == {name: before[name] for name in LEFT_OVER}


def test_an_epoch_stopped_in_the_middle_counts_every_image_once(prepared, monkeypatch):
    # Without norm, two processes compute what one does. Some 16 s: two runs whose second process starts anew.
    same = ("norm=none", "trainer.max_epochs=1", "trainer.precision=32-true")
    alone, _ = cell.run(prepared(*same, runs="alone"))
    both = prepared(*same, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    for name, value in LEFT_OVER.items():
        monkeypatch.setenv(name, value)
    original = StepRecorder.on_before_optimizer_step

    def signalled(self, trainer, pl_module, optimizer):  # type: ignore[no-untyped-def]
        original(self, trainer, pl_module, optimizer)
        if trainer.global_step == 2:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(StepRecorder, "on_before_optimizer_step", signalled)
        cell.run(both)
    assert [path.name for path in (both.directory / "checkpoints").iterdir()] == [f"step-{ASKED_EVERY:09d}.ckpt"]
    record, _ = cell.run(both)
    assert record.resumed
    assert record.summary["train/loss"] == pytest.approx(alone.summary["train/loss"], rel=1e-5)
    assert record.summary["train/acc"] == pytest.approx(alone.summary["train/acc"], abs=1e-3)


@pytest.mark.parametrize(("processes", "asked"), [(1, range(1, 21)), (2, [5, 8, 10, 15, 16, 20])])
def test_processes_ask_each_other_seldom_and_before_every_checkpoint(monkeypatch, processes, asked):
    stopping = Stopping(StopRequest(), Timer())
    checkpoints = Checkpoints(
        Path(),
        every_n_epochs=1,
        every_n_steps=5,
        timer=Timer(),
        stopping=stopping,
        best=None,
        staging=Staging(Path()),
        data="",
        before_save=lambda trainer: None,
        rows=dict,
        has_ended=lambda: False,
    )
    seen: list[int] = []
    monkeypatch.setattr(checkpoints, "_save", lambda trainer: None)
    monkeypatch.setattr(stopping, "asked", lambda trainer: seen.append(trainer.global_step))
    for step in range(1, 21):
        trainer = SimpleNamespace(
            is_last_batch=False, accumulate_grad_batches=1, world_size=processes, global_step=step
        )
        trainer.enable_validation, trainer.check_val_every_n_epoch = False, 1
        trainer.fit_loop, trainer.val_check_batch = SimpleNamespace(batch_idx=step - 1), 10**6
        checkpoints.on_train_batch_end(trainer, None, None, None, step - 1)
    assert seen == list(asked)


def test_a_picture_that_another_process_cannot_read_is_named_once(prepared, tmp_path, capfd):
    folders = [tmp_path / "pictures" / split / kind for split in ("train", "val") for kind in "ab"]
    for path in [folder / f"{number}.png" for folder in folders for number in range(9)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    both = prepared(
        *("data=image_folder", f"data.root={tmp_path / 'pictures'}", "data.num_classes=2", "data.image_size=16"),
        *("data.batch_size=8", "data.num_workers=0", "data.val_fraction=0.1", "trainer.precision=32-true"),
        *("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1"),
    )
    data = build.images(both.cfg)
    data.setup()
    # Of the second process's share of the first batch; it begins and ends as a whole one does.
    theirs = next(iter(EpochSampler(data.train_size, 8, seed=both.cfg.seed, training=True, rank=1, world_size=2)))
    damaged = Path(data._files[data._train[theirs[0]]][0])
    content = damaged.read_bytes()
    damaged.write_bytes(content[:60] + bytes(20) + content[80:])
    with pytest.raises(InputError, match=f"^{damaged} cannot be read .*: repair or remove it"):
        cell.run(both)
    assert record.read(both.directory).status == "interrupted"
    assert "Traceback" not in capfd.readouterr().err
