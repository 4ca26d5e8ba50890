"""The first tokens of a label's mentions, chosen together: starts that rise through the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.token_bytes import TokenBytes
from ..tree import Ints, PromptTree
from ..tree_builder import TreeBuilder
from .branch import Bounds, MentionBranch, say_mentions

Floats = NDArray[np.float64]
NEVER = -1e9


def say_first_tokens(
    heads: Sequence[MentionBranch],
    logits: torch.Tensor,
    trees: Sequence[PromptTree],
    builder: TreeBuilder,
    bounds: Bounds,
) -> None:
    """Let each mention take its first token.

    Said side by side, no mention knows of the others of its label, and two may be the same. With
    `bounds.joint_starts` they are chosen together: tokens that begin a string of the text, at
    places that rise from mention to mention, with the highest probability in all.

    heads (Sequence[MentionBranch]): Mentions that have said nothing yet, all of each label.
    logits (torch.Tensor): After their heads [heads, vocabulary].
    trees (Sequence[PromptTree]): The documents' trees.
    builder (TreeBuilder): Knows where the text is in a tree.
    bounds (Bounds): Where mentions stop.
    """
    pieces = builder.token_bytes if bounds.joint_starts and heads else None
    if pieces is None:
        say_mentions(heads, logits, builder.codec, bounds)
        return
    groups: dict[tuple[int, int], list[int]] = {}
    for i, head in enumerate(heads):
        groups.setdefault((head.tree, head.label), []).append(i)
    edges = {tree: _edges(trees[tree], builder, pieces) for tree, _ in groups}
    alone: list[int] = []
    for (tree, _), group in groups.items():
        src, tokens = edges[tree]
        group.sort(key=lambda i: heads[i].index)
        if not len(src):
            alone += group
            continue
        logprobs = logits[group].float().log_softmax(-1)
        found = logprobs[:, torch.from_numpy(tokens).to(logits.device)].cpu().double().numpy()
        chosen = rising(found, src)
        if chosen is None:
            alone += group
            continue
        for row, (i, edge) in enumerate(zip(group, chosen, strict=True)):
            heads[i].say(int(tokens[edge]), float(found[row, edge]), frozenset(), bounds)
    if alone:
        say_mentions([heads[i] for i in alone], logits[alone], builder.codec, bounds)


def _edges(tree: PromptTree, builder: TreeBuilder, pieces: TokenBytes) -> tuple[Ints, Ints]:
    """RETURNS (tuple[Ints, Ints]): Starts in the text's bytes and tokens that can be said there,
    each of shape [edges], by start."""
    text = pieces.text(tree.ids[builder.text_places(tree)].tolist())
    text = text.replace(b"\n", b" ").replace(b"\r", b" ")
    pairs = [
        (start, token)
        for start, byte in enumerate(text)
        if byte not in b" \t" and byte & 0xC0 != 0x80  # nor inside a character
        for token in pieces.first_tokens(text, start)
    ]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def rising(logprobs: Floats, src: Ints) -> list[int] | None:
    """Choose an edge for each mention, so that starts rise and the sum is the highest (Viterbi).

    logprobs (Floats): [mentions, edges].
    src (Ints): Start of each edge, rising [edges].
    RETURNS (list[int] | None): The edges; None where the text has too few starts.
    """
    starts, first = np.unique(src, return_index=True)
    if len(starts) < len(logprobs):
        return None
    best = np.maximum.reduceat(logprobs, first, axis=1)  # [mentions, starts]
    total, back = best[0], []
    for row in best[1:]:
        reach = np.maximum.accumulate(total)
        who = np.maximum.accumulate(np.where(total == reach, np.arange(len(total)), 0))
        back.append(np.concatenate([[0], who[:-1]]))
        total = row + np.concatenate([[NEVER], reach[:-1]])
    place = int(total.argmax())
    places = [place]
    for who in reversed(back):
        place = int(who[place])
        places.append(place)
    ends = np.append(first[1:], len(src))
    return [
        int(first[place] + logprobs[row, first[place] : ends[place]].argmax())
        for row, place in enumerate(reversed(places))
    ]
