"""A trained network as a file that other programs run."""

from pathlib import Path

import torch

from ablate.api.networks import configuration
from ablate.api.runs import Run, load
from ablate.errors import InputError, reason

KINDS = (".onnx", ".pt2")


def export(run: Run | str | Path, out: str | Path, *, trust: bool = False) -> Path:
    """Write a run's trained network: ONNX as FILE.onnx, torch's own exported program as FILE.pt2. Returns the file.

        ablate.export("runs/07c0", "net.onnx")

    Its one input are float32 images (batch, channels, size, size), normalised as in the training, in batches of any
    size; its output are the scores. The file is complete before it is there.

    trust: as of `load`. Raises InputError for another ending, and for what torch cannot export.
    """
    path = Path(out)
    if path.suffix not in KINDS:
        raise InputError(f"{out}: a file that ends in {' or '.join(KINDS)} is expected.")
    if not path.parent.is_dir():
        raise InputError(f"{out}: there is no folder {path.parent}.")
    run = run if isinstance(run, Run) else load(run, trust=trust)
    data = configuration(run.directory)["data"]
    size = int(data["image_size"])
    # Two images: of one, torch would take the number for a constant.
    image = torch.zeros(2, int(data["channels"]), size, size)
    network = run.network.to(memory_format=torch.contiguous_format)
    unfinished = path.with_name(f".{path.stem}.unfinished{path.suffix}")
    try:
        program = torch.export.export(network, (image,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
        if path.suffix == ".pt2":
            torch.export.save(program, unfinished)
        else:
            torch.onnx.export(
                program,
                f=str(unfinished),
                input_names=["images"],
                output_names=["scores"],
                external_data=False,
                verbose=False,
            )
        unfinished.replace(path)
    except ModuleNotFoundError as error:
        raise InputError(f"{out}: {error}. pip install 'ablate-resnet[onnx]'") from error
    except (RuntimeError, ValueError, TypeError) as error:  # torch's own for what it cannot export are of these
        raise InputError(f"{out}: torch cannot export this network: {reason(error)}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return path
