"""The description of a network's layers that is stored in the metadata of gradient_norms.parquet."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

KEY = b"layers"
MATRIX, NORM, OTHER = "matrix", "norm", "other"


@dataclass(frozen=True)
class Layer:
    """A module that owns trainable parameters.

    depth  its position, from 0 at the image to 1 at the head
    size   how many trainable numbers it has: norm / sqrt(size) is the root mean square
    kind   matrix: it multiplies by a matrix or convolves with a kernel; norm: a normalisation layer;
           other: only biases, tokens, position embeddings, layer scales
    """

    name: str
    depth: float
    size: int
    kind: str

    @property
    def stage(self) -> str:
        """The part of the network that the layer belongs to: the first word of its name."""
        return self.name.split(".")[0]


def described(schema: pa.Schema, layers: Sequence[Layer]) -> pa.Schema:
    """The schema with `layers` in its metadata."""
    return schema.with_metadata({KEY: json.dumps([asdict(layer) for layer in layers])}) if layers else schema


def layers_in(schema: pa.Schema) -> list[Layer]:
    """The layers in the metadata of a file's schema, from the image to the head; empty for a file of an older version.

    Raises ValueError or TypeError if the metadata are damaged.
    """
    text = (schema.metadata or {}).get(KEY)
    return [] if text is None else [Layer(**layer) for layer in json.loads(text)]
