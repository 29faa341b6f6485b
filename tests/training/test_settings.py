"""What a configuration's values come to: one name for one way to compute."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from ablate.configuration.fingerprint import fingerprint
from ablate.runs import cell
from ablate.training import settings


@pytest.mark.parametrize(
    ("aliases", "name"),
    [(["32", "null"], "32-true"), (["bf16"], "bf16-mixed"), (["16", "'16'"], "16-mixed")],
)
def test_one_precision_has_one_name_and_one_fingerprint(compose_cfg, monkeypatch, aliases, name):
    monkeypatch.setattr(settings, "_gpus", lambda: 1)
    found = []
    for accelerator in ("gpu", "cuda"):
        for precision in (name, *aliases):
            cfg = compose_cfg(f"trainer.accelerator={accelerator}", f"trainer.precision={precision}")
            values = OmegaConf.to_container(cfg, resolve=True)
            settings.resolve_auto(values)
            assert values["trainer"]["accelerator"] == "gpu" and values["trainer"]["precision"] == name
            found.append(fingerprint(values))
    assert len(set(found)) == 1


@pytest.mark.parametrize(("batches", "stands"), [(1, True), (2, False)])
def test_only_runs_whose_result_has_changed_have_another_name(batches, stands):
    values = {"seed": 3, "trainer": {"accumulate_grad_batches": batches}}
    before = "\n".join(f"{key}: {json.dumps(value)}" for key, value in values.items())
    assert (fingerprint(values) == hashlib.sha256(before.encode()).hexdigest()[:12]) == stands


def test_what_the_hardware_has_is_what_torch_says():
    assert settings._gpus() == torch.cuda.device_count()
    is_amd = "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    on_cpu = torch.cpu._is_amx_tile_supported() or (is_amd and torch.cpu._is_avx512_bf16_supported())
    assert settings._has_bf16(on_gpu=False) == on_cpu


@pytest.mark.parametrize(
    ("vendor", "flags", "faster"),
    [
        ("GenuineIntel", "avx2 avx512f avx512_bf16 amx_bf16 amx_tile avx512_fp16", True),
        ("GenuineIntel", "avx2 avx512f avx512_bf16 avx512_fp16", False),  # its host withholds AMX
        ("AuthenticAMD", "avx2 avx512f avx512_bf16", True),
        ("AuthenticAMD", "avx2", False),
    ],
)
def test_bfloat16_is_chosen_where_a_processor_is_faster_in_it(vendor, flags, faster):
    one = f"vendor_id\t: {vendor}\nmodel name\t: a processor\nflags\t\t: fpu {flags} sha_ni\n\n"
    assert settings.multiplies_bf16(one * 2) == faster


@pytest.mark.parametrize(("precision", "tf32"), [("highest", False), ("high", True)])
def test_the_highest_precision_is_of_convolutions_too(prepared, monkeypatch, precision, tf32):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", not tf32)
    before = torch.get_float32_matmul_precision()
    try:
        cell.run(prepared(f"matmul_precision={precision}", "trainer.max_epochs=1", "+trainer.limit_train_batches=1"))
        assert torch.backends.cudnn.allow_tf32 == tf32
    finally:
        torch.set_float32_matmul_precision(before)
