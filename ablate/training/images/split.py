"""Splits labelled images in two, each class alike: the split that scikit-learn makes, without importing scikit-learn.

That import brings SciPy: half a second in every run, for one permutation.
"""

import math

import numpy as np


def stratified(labels: np.ndarray, test_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the images to train with and to test with, in random order.

    labels: (N,). Equal to scikit-learn's `train_test_split(…, test_size=test_fraction, random_state=seed,
    stratify=labels)`: the same draws in the same order.

    Raises ValueError if one of the two would have fewer images than there are classes.
    """
    random = np.random.RandomState(seed)
    classes, labels = np.unique(labels, return_inverse=True)
    test = math.ceil(test_fraction * len(labels))
    train = len(labels) - test
    for name, number in (("train", train), ("test", test)):
        if number < len(classes):
            raise ValueError(f"{number} images to {name} with are fewer than the {len(classes)} classes")
    sizes = np.bincount(labels)
    of_train = _shares(sizes, train, random)
    of_test = _shares(sizes - of_train, test, random)
    chosen: tuple[list[int], list[int]] = [], []
    for number, (first, second) in enumerate(zip(of_train, of_test, strict=True)):
        own = np.flatnonzero(labels == number)[random.permutation(sizes[number])]
        chosen[0].extend(own[:first])
        chosen[1].extend(own[first : first + second])
    return random.permutation(chosen[0]), random.permutation(chosen[1])


def _shares(sizes: np.ndarray, draws: int, random: np.random.RandomState) -> np.ndarray:
    """How many of `draws` each class gets, in proportion to its size. What rounding leaves goes to the largest
    remainders, by chance among equal ones."""
    exact = sizes / sizes.sum() * draws
    shares = np.floor(exact)
    left = int(draws - shares.sum())
    for remainder in np.unique(exact - shares)[::-1]:
        if left <= 0:
            break
        (equal,) = np.where(exact - np.floor(exact) == remainder)
        taken = random.choice(equal, size=min(len(equal), left), replace=False)
        shares[taken] += 1
        left -= len(taken)
    return shares.astype(int)
