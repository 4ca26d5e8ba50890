"""Distributions of counts from the tags of a text, which mark where mentions begin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..tokenization.arrays import Float32s

DIGITS = 10


def count_distribution(begins: Sequence[Float32s]) -> Float32s:
    """Compute the distribution of the number of tokens that begin a mention, as if tokens were
    independent (Poisson binomial).

    Each token has the polynomial (1 - p) + p x; neighbours are multiplied, then pairs, until one
    is left per text. Tokens after a text's end have 1: products are equal to the bit beside longer
    texts.

    begins (Sequence[NDArray[np.float32]]): For each text the probability that a mention of a label
        begins at each token [tokens, labels].
    RETURNS (NDArray[np.float32]): P(0) … P(9), P(10 or more) [texts, labels, 11].
    """
    numbers = np.zeros((len(begins), begins[0].shape[1], DIGITS + 1), dtype=np.float32)
    sizes = np.array([1 << max(len(text) - 1, 0).bit_length() for text in begins])
    for size in np.unique(sizes).tolist():
        texts = np.flatnonzero(sizes == size)
        chances = np.zeros((size, len(texts), begins[0].shape[1]), dtype=np.float32)
        for column, text in enumerate(texts.tolist()):
            chances[: len(begins[text]), column] = begins[text]
        factors = np.stack([1 - chances, chances])  # [powers, tokens, texts, labels]
        while factors.shape[1] > 1:
            factors = _products(factors[:, 0::2], factors[:, 1::2])
        numbers[texts, :, : len(factors)] = np.moveaxis(factors[:, 0], 0, -1)
    numbers[..., DIGITS] = (1 - numbers.sum(-1)).clip(0)
    return numbers


def _products(left: Float32s, right: Float32s) -> Float32s:
    """RETURNS (NDArray[np.float32]): Products of polynomials, powers first, up to the ninth."""
    n_powers = min(DIGITS, 2 * len(left) - 1)
    products = np.zeros((n_powers, *left.shape[1:]), dtype=np.float32)
    for power, factor in enumerate(left):
        room = min(n_powers - power, len(right))
        products[power : power + room] += factor * right[:room]
    return products
