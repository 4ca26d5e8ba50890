"""Tokens copied from the text, to be fed along with a mention's last one: most are what it says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..prompts.tree import ABSENT
from ..tokenization.arrays import Ints
from ..tokenization.token_bytes import TokenBytes
from .lattice import Lattice


class TextDrafts:
    """What a mention goes on with where its text goes on.

    From each byte of a text there is one way on: along the text's own tokens where one begins, else
    along the longest token.

    lattices (Sequence[Lattice]): The documents of a batch.
    ids (Sequence[Ints]): The tokens of each document's text, as it was read.
    pieces (TokenBytes): The tokens' bytes.
    """

    def __init__(self, lattices: Sequence[Lattice], ids: Sequence[Ints], pieces: TokenBytes):
        self._lattices = lattices
        sizes = np.array([len(one.is_end) for one in lattices])
        self._size, self._offset = sizes, np.cumsum(sizes) - sizes
        n = int(sizes.sum())
        self._sink = n  # where no token leads on
        self._n_starts = [len(one.place) for one in lattices]
        src, dst, token = (
            np.concatenate([getattr(one, name) for one in lattices])
            for name in ("src", "dst", "token")
        )
        inner = np.flatnonzero(src >= 0)
        at = np.repeat(self._offset, [len(one.src) for one in lattices])[inner]
        src, dst, token = src[inner] + at, dst[inner] + at, token[inner]
        self._next = np.full(n + 1, self._sink)
        self._token = np.full(n + 1, ABSENT)
        longest = np.flatnonzero(np.append(src[1:] != src[:-1], True)) if len(src) else src
        self._next[src[longest]], self._token[src[longest]] = dst[longest], token[longest]
        if len(src):
            self._prefer_own_tokens(src, dst, token, ids, pieces)
        self._ids, self._pieces = ids, pieces

    def _prefer_own_tokens(
        self, src: Ints, dst: Ints, token: Ints, ids: Sequence[Ints], pieces: TokenBytes
    ) -> None:
        """Go along the tokens that the text was read in, where mentions can."""
        lengths = pieces.sizes[np.concatenate(list(ids))]
        ends = np.cumsum(lengths)
        n_bytes = np.array([int(pieces.sizes[one].sum()) for one in ids])
        first = np.cumsum(n_bytes) - n_bytes + len(pieces.prefix)
        shift = np.repeat(self._offset - first, [len(one) for one in ids])
        begin, end = ends - lengths + shift, ends + shift
        key = src * (self._sink + 1) + dst
        wanted = begin * (self._sink + 1) + end
        found = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        found = found[key[found] == wanted]
        self._next[src[found]], self._token[src[found]] = dst[found], token[found]

    def after(self, tree: Ints, node: Ints, most: int) -> Ints:
        """What texts go on with.

        tree (Ints): The document of each mention [mentions].
        node (Ints): The byte that it goes on from; anything else has no draft [mentions].
        most (int): Most tokens of a draft.
        RETURNS (Ints): The tokens; ABSENT behind a draft's end [mentions, most].
        """
        known = (node >= 0) & (node < self._size[tree])
        at = np.where(known, self._offset[tree] + node, self._sink)
        found = np.full((len(tree), most), ABSENT)
        for step in range(most):
            found[:, step] = self._token[at]
            at = self._next[at]
        return found

    def opening(self, tree: int, tokens: Ints, most: int) -> Ints:
        """What mentions say that begin in given tokens of a text.

        tree (int): The document.
        tokens (Ints): Numbers of the text's tokens [mentions].
        most (int): Most tokens of a draft, at least one.
        RETURNS (Ints): The tokens; ABSENT behind a draft's end [mentions, most].
        """
        lattice, sizes = self._lattices[tree], self._pieces.sizes[self._ids[tree]]
        bounds = np.cumsum(np.append(0, sizes)) - len(self._pieces.prefix)
        found = np.full((len(tokens), most), ABSENT)
        n_starts = self._n_starts[tree]
        at = np.searchsorted(lattice.place, bounds[tokens])
        inside = np.flatnonzero(at < n_starts)
        inside = inside[lattice.place[at[inside]] < bounds[tokens[inside] + 1]]
        if not len(inside):
            return found
        # Of the tokens that begin at a place the last is the longest.
        edge = np.searchsorted(lattice.place, lattice.place[at[inside]], side="right") - 1
        found[inside, 0] = lattice.token[edge]
        node = lattice.dst[edge]
        found[inside, 1:] = self.after(np.full(len(node), tree), node, most - 1)
        return found
