"""Counts out of the tags of a text: each token says whether a mention of a label begins there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.prompt_rows import PromptRows, Run, feed_of
from ..tree import Ints
from ..tree_builder import TreeBuilder
from .bounds import Bounds
from .counts import CountBranches, symbols_of
from .logits import Logits, Narrowing

DIGITS = 10


def say_first_digits(
    rows: PromptRows,
    runs: Sequence[Run],
    counts: CountBranches,
    ends: Ints,
    texts: Sequence[Ints],
    builder: TreeBuilder,
    labels: Sequence[str],
    bounds: Bounds,
    narrow: Narrowing | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> list[NDArray[np.float32]] | None:
    """Feed the prompts and let each count branch take its first digit, with the text's tags in it.

    rows (PromptRows): Where the prompts are fed.
    runs (Sequence[Run]): The prompts.
    counts (CountBranches): The count branches of a batch.
    ends (Ints): Index of each count prompt's last token in the joined runs.
    texts (Sequence[Ints]): For each tree the indices of its text's tokens in the joined runs.
    builder (TreeBuilder): Knows the tags' tokens.
    labels (Sequence[str]): The labels asked for.
    bounds (Bounds): Where numbers stop, how they are chosen.
    narrow (Narrowing | None): Brings logits to the host, where they are few.
    meanwhile (Callable[[], object] | None): What is to be done while the device is at work.
    RETURNS (list[NDArray[np.float32]] | None): For each tree, how likely a mention of a label
        begins in each token of its text [tokens, labels]; None where the tags are not asked.
    """
    symbols = builder.tag_symbols(labels) if bounds.tag_weight else None
    wanted = ends if symbols is None else np.concatenate([ends, *texts])
    fed = rows.feed(feed_of(runs, wanted))
    if meanwhile is not None:
        meanwhile()
    logits = (narrow or Logits)(fed, rows.total)
    if symbols is None:
        counts.take(counts.open, logits, builder.codec, bounds)
        return None
    sizes = [len(text) for text in texts]
    begins = _begins(logits[len(ends) :], symbols).split(sizes)
    numbers = torch.stack(numbers_of(begins))[counts.tree, counts.label - 1]
    # The first digit of a longer number means something else.
    sure = numbers[:, DIGITS] < 0.5
    counts.evidence[sure] = numbers[sure, :DIGITS].clamp_min(1e-9).log()
    counts.take(counts.open, logits[: len(ends)], builder.codec, bounds)
    return [part.numpy() for part in begins]


def said_first(builder: TreeBuilder, labels: Sequence[str]) -> Ints:
    """RETURNS (Ints): Tokens that `say_first_digits` reads the logits of."""
    return np.array([*symbols_of(builder.codec), *(builder.tag_symbols(labels) or [])])


def _begins(logits: Logits, tags: Sequence[int]) -> torch.Tensor:
    """RETURNS (torch.Tensor): float32 [tokens, labels]: P(a mention of the label begins)."""
    columns = torch.tensor(tags, device=logits.values.device)
    return logits.of(columns).softmax(-1)[:, 2:].cpu()


def numbers_of(begins: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The distribution of how many of independent tokens begin a mention (Poisson binomial).

    begins (Sequence[torch.Tensor]): For each text float32 [tokens, labels].
    RETURNS (list[torch.Tensor]): For each text float32 [labels, 11]: P(0) … P(9), P(10 or more).
    """
    order = sorted(range(len(begins)), key=lambda i: -len(begins[i]))
    padded = torch.nn.utils.rnn.pad_sequence([begins[i] for i in order])
    n_tokens, n_texts, n_labels = padded.shape
    chances = padded.reshape(n_tokens, n_texts * n_labels)
    lengths = np.array([len(begins[i]) for i in order])
    numbers = torch.zeros(DIGITS + 1, n_texts * n_labels)
    numbers[0] = 1
    for token, here in enumerate(chances):
        n_open = int((lengths > token).sum()) * n_labels  # shorter texts come last
        some = numbers[:, :n_open]
        grown = some * here[:n_open]
        some -= grown
        some[1:] += grown[:-1]
        some[-1] += grown[-1]
    of_texts = numbers.T.reshape(n_texts, n_labels, DIGITS + 1)
    return list(of_texts[np.argsort(order)])
