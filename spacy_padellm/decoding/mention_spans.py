"""Where mentions stand that were said within the strings of their texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..tokenization.arrays import Ints
from ..tokenization.codec import one_line
from ..tokenization.token_bytes import TokenBytes
from .lattice import Lattice, Passage
from .mentions import MentionBranches


def find_places(
    mentions: MentionBranches,
    which: Ints,
    ends: tuple[Ints, Ints],
    lattices: Sequence[Lattice],
    passages: Sequence[Passage],
    pieces: TokenBytes,
) -> None:
    """Find the places of what mentions have said, of all at once, and read it off the texts.

    mentions (MentionBranches): They get `places` and `texts`.
    which (Ints): Mentions that have ended [mentions].
    ends (tuple[Ints, Ints]): Indices into `which`, rising, and for each a byte before which its
        text has what it said [places].
    lattices (Sequence[Lattice]): The documents; those of the mentions have `chars`.
    passages (Sequence[Passage]): Their texts.
    pieces (TokenBytes): The tokens' bytes.
    """
    if not len(which):
        return
    of, end = ends
    said = np.arange(mentions.ids.shape[1]) < mentions.n_said[which, None]
    n_bytes = (pieces.sizes[mentions.ids[which]] * said).sum(1)
    prefix = np.array([one.prefix for one in lattices])
    tree = mentions.tree[which]
    none = np.zeros(0, dtype=np.int64)
    chars = [none if one.chars is None else one.chars for one in lattices]
    first = np.cumsum([0, *map(len, chars)])[tree[of]]
    joined = np.concatenate(chars)
    starts = joined[first + end - (n_bytes - prefix[tree])[of]].tolist()
    stops = joined[first + end].tolist()
    edges = np.searchsorted(of, np.arange(len(which) + 1)).tolist()
    places = list(zip(starts, stops, strict=True))
    for n, (i, own) in enumerate(zip(which.tolist(), tree.tolist(), strict=True)):
        mentions.places[i] = found = tuple(places[edges[n] : edges[n + 1]])
        mentions.texts[i] = one_line(passages[own].text[slice(*found[0])])
