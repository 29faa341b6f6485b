"""An epoch's losses are means over its images, not over its batches."""

import pytest
import torch
import torch.nn.functional as F

from ablate.runs import cell
from ablate.training import build


def test_losses_are_of_the_whole_split_in_uneven_batches(prepared):
    # Nothing moves and no norm looks at the batch: each loss is that of the initial network. 1,293 images for training.
    still = ("optimizer.lr=0", "norm=none", "data.shift=0", "trainer.precision=32-true", "trainer.max_epochs=1")
    chosen = prepared(*still, "data.batch_size=431", "data.eval_batch_size=100")
    record, _ = cell.run(chosen)
    net, data = build.initialised_network(chosen.cfg), build.images(chosen.cfg)
    data.setup("fit")
    sizes = {}
    for split in ("train", "val", "test"):
        batches = list(getattr(data, f"{split}_dataloader")())
        sizes[split] = {len(labels) for _, labels in batches}
        images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        with torch.no_grad():
            loss = F.cross_entropy(net(data.on_after_batch_transfer((images, labels), 0)[0]), labels)
        assert record.summary[f"{split}/loss"] == pytest.approx(loss.item(), rel=1e-5), split
    assert sizes == {"train": {431}, "val": {100, 44}, "test": {100, 60}}
