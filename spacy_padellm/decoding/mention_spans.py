"""Character spans of the occurrences of constrained mentions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..tokenization.arrays import Ints
from ..tokenization.codec import one_line
from ..tokenization.token_bytes import TokenBytes
from .lattice import ConstraintText, Lattice
from .mentions import LocatedText, MentionBranches


def find_char_spans(
    mentions: MentionBranches,
    ended: Ints,
    ends: tuple[Ints, Ints],
    lattices: Sequence[Lattice],
    texts: Sequence[ConstraintText],
    token_bytes: TokenBytes,
) -> dict[int, LocatedText]:
    """Find mentions in their documents, all at once.

    mentions (MentionBranches): The mentions.
    ended (Ints): Those that have ended [mentions].
    ends (tuple[Ints, Ints]): Indices into `ended`, rising, and for each the byte offset after an
        occurrence of the mention [occurrences].
    lattices (Sequence[Lattice]): The documents; those of the mentions have `chars`.
    texts (Sequence[ConstraintText]): Their texts.
    token_bytes (TokenBytes): The bytes of the vocabulary's tokens.
    RETURNS (dict[int, LocatedText]): Text and character spans by the numbers of the mentions.
    """
    if not len(ended):
        return {}
    index, end = ends
    is_generated = np.arange(mentions.ids.shape[1]) < mentions.n_tokens[ended, None]
    n_bytes = (token_bytes.sizes[mentions.ids[ended]] * is_generated).sum(1)
    prefix = np.array([lattice.prefix for lattice in lattices])
    tree = mentions.tree[ended]
    none = np.zeros(0, dtype=np.int64)
    chars = [none if lattice.chars is None else lattice.chars for lattice in lattices]
    first = np.cumsum([0, *map(len, chars)])[tree[index]]
    joined = np.concatenate(chars)
    starts = joined[first + end - (n_bytes - prefix[tree])[index]].tolist()
    stops = joined[first + end].tolist()
    bounds = np.searchsorted(index, np.arange(len(ended) + 1)).tolist()
    char_spans = list(zip(starts, stops, strict=True))
    located: dict[int, LocatedText] = {}
    for n, (mention, document) in enumerate(zip(ended.tolist(), tree.tolist(), strict=True)):
        own = tuple(char_spans[bounds[n] : bounds[n + 1]])
        located[mention] = LocatedText(one_line(texts[document].text[slice(*own[0])]), own)
    return located
