"""What a seed changes: the first weights, the order of the data, the split, as `vary` says."""

import shutil

import pytest
import torch
import yaml

from ablate.comparison.confounds import confounds
from ablate.comparison.results import read
from ablate.errors import InputError
from ablate.runs.cell import Cell
from ablate.training.build import images, initialised_network


def drawn(cell: Cell) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The first layer's weights, the labels of the first batch, and which images validate."""
    network = initialised_network(cell.cfg)
    data = images(cell.cfg)
    data.prepare_data()
    data.setup("fit")
    labels = next(iter(data.train_dataloader()))[1]
    return next(network.parameters()).detach(), labels, data._val


@pytest.mark.parametrize("vary", ["[init,order]", "[init]", "[order]", "[split]", "[split,init]", "[init,order,split]"])
def test_seeds_differ_in_what_is_named_and_in_nothing_else(prepared, vary):
    first, second = (drawn(prepared(f"vary={vary}", f"seed={seed}")) for seed in (1, 2))
    same = [torch.equal(a, b) for a, b in zip(first, second, strict=True)]
    weights, labels, split = same
    assert weights == ("init" not in vary) and split == ("split" not in vary)
    if "split" not in vary:  # another split has other batches, in whatever order
        assert labels == ("order" not in vary)


def test_what_is_not_named_is_as_with_seed_0(prepared):
    weights, labels, split = drawn(prepared("seed=0"))
    assert torch.equal(drawn(prepared("vary=[order]", "seed=3"))[0], weights)
    assert torch.equal(drawn(prepared("vary=[init]", "seed=3"))[1], labels)
    assert torch.equal(drawn(prepared("seed=3"))[2], split)
    # Typed seeds of the data stay.
    assert prepared("vary=[init]", "seed=3", "data.seed=5").cfg.data.seed == 5
    assert prepared("vary=[split]", "seed=3", "data.split_seed=10").cfg.data.split_seed == 13


def test_the_default_has_the_name_that_results_have_always_had(prepared):
    cell = prepared("seed=3")
    assert cell.fingerprint == prepared("seed=3", "vary=[order,init]").fingerprint
    names = {prepared("seed=3", f"vary={vary}").fingerprint for vary in ("[init]", "[order]", "[init,order,split]")}
    assert len(names | {cell.fingerprint}) == 4


def test_refused(prepared):
    for vary, says in (
        ("[]", "list what the seed decides"),
        ("[init,init]", "each once"),
        ("[inti]", "Did you mean init"),
    ):
        with pytest.raises(InputError, match=says):
            prepared(f"vary={vary}")


@pytest.mark.parametrize("vary", [["init", "order"], ["init", "order", "split"], ["init"]])
def test_seeds_of_one_variant_share_their_configuration(run, prepared, vary):
    """No warning that seeds differ where that is what `vary` asks for."""
    found = []
    for seed in (0, 4):
        directory = run({}, seed, 0.9, history=False)
        text = ",".join(vary)
        values = prepared(f"vary=[{text}]", f"seed={seed}").values
        (directory / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        found.append(read(directory))
        shutil.rmtree(directory)
    assert not any("its own seeds differ" in warning for warning in confounds(found, found, besides=()))
