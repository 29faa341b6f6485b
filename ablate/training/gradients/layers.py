"""What a reader of gradient_norms.parquet must know of a network's layers; it stands in the file's own metadata."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

KEY = b"layers"
MATRIX, NORM, OTHER = "matrix", "norm", "other"


@dataclass(frozen=True)
class Layer:
    """A module that owns trainable parameters.

    depth  its place, from 0 at the image to 1 at the head
    size   how many trainable numbers it has: norm / sqrt(size) is the root mean square
    kind   matrix: it multiplies by a matrix or convolves with a kernel; norm: it scales what it normalises;
           other: biases alone, tokens, position tables, layer scales
    """

    name: str
    depth: float
    size: int
    kind: str

    @property
    def stage(self) -> str:
        """The part of the network that it belongs to: the first word of its name."""
        return self.name.split(".")[0]


def described(schema: pa.Schema, layers: Sequence[Layer]) -> pa.Schema:
    """The schema, its metadata telling the layers."""
    return schema.with_metadata({KEY: json.dumps([asdict(layer) for layer in layers])}) if layers else schema


def told(schema: pa.Schema) -> list[Layer]:
    """The layers that a file's schema tells, from the image to the head; empty for a file of an older version.

    Raises ValueError or TypeError where the metadata are damaged.
    """
    text = (schema.metadata or {}).get(KEY)
    return [] if text is None else [Layer(**layer) for layer in json.loads(text)]
