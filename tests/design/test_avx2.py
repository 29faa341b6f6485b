"""A run on a processor with AVX2 and no AVX-512: oneDNN and ATen are told to use no more, in a process of its own."""

import os
import subprocess
import sys

# Each has a strided 1x1 convolution that reads 4 channels.
DESIGNS = (
    "shortcut=projection",
    "shortcut=exclusive_gating",
    "block=expand_contract block.stride_on=first",
)

STEPS = """
import sys
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from ablate.configuration.resolvers import register_resolvers
from ablate.configuration.composition import CONF
from ablate.training import build

torch.set_num_threads(1)
register_resolvers()
for design in sys.argv[1:]:
    overrides = ["model.stages=[1,1,1]", "model.widths=[4,4,4]", "data.image_size=16", *design.split()]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        net = build.initialised_network(compose("config", overrides=overrides))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(60):
        x = torch.randn(64, 1, 16, 16).contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        F.cross_entropy(net(x), torch.randint(0, 10, (64,))).backward()
        optimizer.step()
    print(design, flush=True)
"""


def test_narrow_networks_train() -> None:
    """In float32 and channels-last, torch's own strided 1x1 convolution corrupts the heap there."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    command = [sys.executable, "-c", STEPS, *DESIGNS]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stdout.splitlines()) == (0, [*DESIGNS]), run.stderr[-2000:]
