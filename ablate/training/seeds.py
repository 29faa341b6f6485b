"""Independent streams of random numbers."""

import hashlib
from typing import Any

import numpy as np
import torch

from ablate.errors import InputError


def seed_of(cfg: Any, what: str) -> int:
    """The run's seed for `what`, which is init or order; 0 if `cfg.vary` (resolved) does not contain it."""
    return cfg.seed if what in cfg.vary else 0


def stream(seed: int, purpose: str, *index: int) -> torch.Generator:
    """A CPU generator for (seed, purpose, *index). Each combination has its own stream, the same on every machine.

    Initialisation, data order and augmentation each draw from their own stream (common random numbers). So two designs
    with the same seed see the same batches in the same order, whatever else they draw, and can be compared in pairs.

    Raises InputError for a negative seed.
    """
    if seed < 0:
        raise InputError(f"seed={seed} is negative: use a whole number from 0 up.")
    # hash() is salted in every process, a digest is not.
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big")
    # As spawn_key: entropy is padded with zeros, so that (seed, word) and (seed, word, 0) would be equal.
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(word, *index))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
