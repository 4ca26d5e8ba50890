"""Counts out of the tags of a text: each token says whether a mention of a label begins there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..engine.prompt_rows import PromptRows, Run, feed_of
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.arrays import Ints
from .counts import CountBranches, symbols_of
from .logits import Logits, TokenSubset
from .params import DecodingParams

DIGITS = 10
Floats = NDArray[np.float32]


def say_first_digits(
    rows: PromptRows,
    runs: Sequence[Run],
    counts: CountBranches,
    ends: Ints,
    texts: Sequence[Ints],
    builder: TreeBuilder,
    labels: Sequence[str],
    bounds: DecodingParams,
    narrow: TokenSubset | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> list[Floats] | None:
    """Feed the prompts and let each count branch take its first digit, with the text's tags in it.

    rows (PromptRows): Where the prompts are fed.
    runs (Sequence[Run]): The prompts.
    counts (CountBranches): The count branches of a batch.
    ends (Ints): Index of each count prompt's last token in the joined runs.
    texts (Sequence[Ints]): For each tree the indices of its text's tokens in the joined runs.
    builder (TreeBuilder): Knows the tags' tokens.
    labels (Sequence[str]): The labels asked for.
    bounds (DecodingParams): Where numbers stop, how they are chosen.
    narrow (TokenSubset | None): Brings logits to the host, where they are few.
    meanwhile (Callable[[], object] | None): What is to be done while the device is at work.
    RETURNS (list[NDArray[np.float32]] | None): For each tree, how likely a mention of a label
        begins in each token of its text [tokens, labels]; None where the tags are not asked.
    """
    symbols = builder.tag_token_ids(labels) if bounds.tag_weight else None
    places = np.concatenate(list(texts))
    glances = symbols is not None and rows.glances
    if glances:
        feed = replace(feed_of(runs, ends), glances=places, columns=np.array(symbols))
    else:
        feed = feed_of(runs, ends if symbols is None else np.concatenate([ends, places]))
    fed = rows.feed(feed)
    if meanwhile is not None:
        meanwhile()
    logits = (narrow or Logits)(fed, rows.total)
    if symbols is None:
        counts.take(counts.open, logits, builder.codec, bounds)
        return None
    edges = np.cumsum([len(text) for text in texts])[:-1]
    if glances:
        assert rows.glanced is not None
        tags = rows.glanced if narrow is None else rows.glanced.cpu()
    else:
        tags = logits[len(ends) :].of(torch.tensor(symbols, device=logits.values.device))
    # P(a mention of the label begins) [tokens, labels]
    begins = np.split(tags.softmax(-1)[:, 2:].cpu().numpy(), edges)
    numbers = numbers_of(begins)[counts.tree, counts.label - 1]
    # The first digit of a longer number means something else.
    sure = numbers[:, DIGITS] < 0.5
    counts.evidence[sure] = np.log(numbers[sure, :DIGITS].clip(1e-9))
    counts.take(counts.open, logits[: len(ends)], builder.codec, bounds)
    return begins


def said_first(builder: TreeBuilder, labels: Sequence[str]) -> Ints:
    """RETURNS (Ints): Tokens that `say_first_digits` reads the logits of."""
    return np.array([*symbols_of(builder.codec), *(builder.tag_token_ids(labels) or [])])


def numbers_of(begins: Sequence[Floats]) -> Floats:
    """The distribution of how many of independent tokens begin a mention (Poisson binomial).

    Of each token the polynomial (1 - p) + p x; those of neighbours are multiplied, then those of
    pairs, until there is one for the text. That of a token behind a text's end is 1: products are
    the same to the bit beside longer texts.

    begins (Sequence[NDArray[np.float32]]): For each text [tokens, labels].
    RETURNS (NDArray[np.float32]): P(0) … P(9), P(10 or more) [texts, labels, 11].
    """
    numbers = np.zeros((len(begins), begins[0].shape[1], DIGITS + 1), dtype=np.float32)
    sizes = np.array([1 << max(len(here) - 1, 0).bit_length() for here in begins])
    for size in np.unique(sizes).tolist():
        texts = np.flatnonzero(sizes == size)
        chances = np.zeros((size, len(texts), begins[0].shape[1]), dtype=np.float32)
        for column, text in enumerate(texts.tolist()):
            chances[: len(begins[text]), column] = begins[text]
        found = np.stack([1 - chances, chances])  # [powers, tokens, texts, labels]
        while found.shape[1] > 1:
            found = _products(found[:, 0::2], found[:, 1::2])
        numbers[texts, :, : len(found)] = np.moveaxis(found[:, 0], 0, -1)
    numbers[..., DIGITS] = (1 - numbers.sum(-1)).clip(0)
    return numbers


def _products(left: Floats, right: Floats) -> Floats:
    """RETURNS (NDArray[np.float32]): Products of polynomials, powers first, up to the ninth."""
    n_powers = min(DIGITS, 2 * len(left) - 1)
    found = np.zeros((n_powers, *left.shape[1:]), dtype=np.float32)
    for power, factor in enumerate(left):
        room = min(n_powers - power, len(right))
        found[power : power + room] += factor * right[:room]
    return found
