"""Random streams that do not depend on each other."""

import hashlib
from typing import Any

import numpy as np
import torch

from ablate.errors import InputError


def seed_of(cfg: Any, what: str) -> int:
    """The run's seed for `what`, init or order: 0 where the resolved `cfg.vary` does not name it."""
    return cfg.seed if what in cfg.vary else 0


def stream(seed: int, purpose: str, *index: int) -> torch.Generator:
    """A CPU generator of its own for every (seed, purpose, *index), the same on every machine.

    Common random numbers: initialisation, data order and augmentation each draw from their own stream, so two
    designs with the same seed see the same batches in the same order, however many numbers either draws
    elsewhere, and their difference can be paired.

    Raises InputError for a negative seed.
    """
    if seed < 0:
        raise InputError(f"seed={seed} is negative: use a whole number from 0 up.")
    # hash() is salted in every process, a digest is not.
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big")
    # As spawn_key, because plain entropy is padded with zeros: there (seed, word) and (seed, word, 0)
    # coincide.
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(word, *index))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
