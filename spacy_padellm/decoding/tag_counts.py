"""Counts out of the tags of a text: each token says whether a mention of a label begins there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..model.prompt_rows import PromptRows, Run, feed_of
from ..tree import Ints
from ..tree_builder import TreeBuilder
from .branch import Bounds, CountBranch, in_float32, say_counts

DIGITS = 10


def say_first_digits(
    rows: PromptRows,
    runs: Sequence[Run],
    counts: Sequence[CountBranch],
    ends: Sequence[int],
    texts: Sequence[Ints],
    builder: TreeBuilder,
    labels: Sequence[str],
    bounds: Bounds,
) -> None:
    """Feed the prompts and let each count branch take its first digit, with the text's tags in it.

    rows (PromptRows): Where the prompts are fed.
    runs (Sequence[Run]): The prompts.
    counts (Sequence[CountBranch]): All count branches of a batch.
    ends (Sequence[int]): Index of each count prompt's last token in the joined runs.
    texts (Sequence[Ints]): For each tree the indices of its text's tokens in the joined runs.
    builder (TreeBuilder): Knows the tags' tokens.
    labels (Sequence[str]): The labels asked for.
    bounds (Bounds): Where numbers stop, how they are chosen.
    """
    symbols = builder.tag_symbols(labels) if bounds.tag_weight else None
    if symbols is None:
        say_counts(counts, rows.feed(feed_of(runs, ends)), builder.codec, bounds)
        return
    logits = rows.feed(feed_of(runs, np.concatenate([np.asarray(ends), *texts])))
    of_texts = logits[len(ends) :].split([len(text) for text in texts])
    numbers = numbers_of([_begins(part, symbols) for part in of_texts])
    for branch in counts:
        row = numbers[branch.tree][branch.label - 1]
        # The first digit of a longer number means something else.
        if float(row[DIGITS]) < 0.5:
            branch.evidence = row[:DIGITS].clamp_min(1e-9).log()
    say_counts(counts, logits[: len(ends)], builder.codec, bounds)


def _begins(logits: torch.Tensor, tags: Sequence[int]) -> torch.Tensor:
    """RETURNS (torch.Tensor): float32 [tokens, labels]: P(a mention of the label begins)."""
    columns = torch.tensor(tags, device=logits.device)
    parts = [part[:, columns].softmax(-1)[:, 2:] for part in in_float32(logits)]
    return torch.cat(parts).cpu()


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
