"""Draft tokens copied from the text, verified in the same pass as a mention's last token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..prompts.tree import ABSENT
from ..tokenization.arrays import Ints
from ..tokenization.token_bytes import TokenBytes
from .lattice import Lattice


class TextDrafts:
    """The tokens that follow each byte offset of the texts.

    From each byte offset there is one path: along the text's own tokens where one begins, else
    along the longest token.

    lattices (Sequence[Lattice]): The documents of a batch.
    ids (Sequence[Ints]): The tokens of each document's text in the prompt.
    token_bytes (TokenBytes): The bytes of the vocabulary's tokens.
    """

    def __init__(self, lattices: Sequence[Lattice], ids: Sequence[Ints], token_bytes: TokenBytes):
        self._lattices = lattices
        sizes = np.array([len(lattice.is_end) for lattice in lattices])
        self._size, self._offset = sizes, np.cumsum(sizes) - sizes
        n = int(sizes.sum())
        self._sink = n  # from which no token leads on
        self._n_starts = [len(lattice.start_byte) for lattice in lattices]
        src, dst, token = (
            np.concatenate([getattr(lattice, name) for lattice in lattices])
            for name in ("src", "dst", "token")
        )
        inner = np.flatnonzero(src >= 0)
        at = np.repeat(self._offset, [len(lattice.src) for lattice in lattices])[inner]
        src, dst, token = src[inner] + at, dst[inner] + at, token[inner]
        self._next = np.full(n + 1, self._sink)
        self._token = np.full(n + 1, ABSENT)
        longest = np.flatnonzero(np.append(src[1:] != src[:-1], True)) if len(src) else src
        self._next[src[longest]], self._token[src[longest]] = dst[longest], token[longest]
        if len(src):
            self._prefer_own_tokens(src, dst, token, ids, token_bytes)
        self._ids, self._token_bytes = ids, token_bytes

    def _prefer_own_tokens(
        self, src: Ints, dst: Ints, token: Ints, ids: Sequence[Ints], token_bytes: TokenBytes
    ) -> None:
        """Follow the tokens of the text in the prompt, where mentions can."""
        lengths = token_bytes.sizes[np.concatenate(list(ids))]
        ends = np.cumsum(lengths)
        n_bytes = np.array([int(token_bytes.sizes[tokens].sum()) for tokens in ids])
        first = np.cumsum(n_bytes) - n_bytes + len(token_bytes.prefix)
        shift = np.repeat(self._offset - first, [len(tokens) for tokens in ids])
        begin, end = ends - lengths + shift, ends + shift
        key = src * (self._sink + 1) + dst
        own = begin * (self._sink + 1) + end
        edge = np.minimum(np.searchsorted(key, own), len(key) - 1)
        edge = edge[key[edge] == own]
        self._next[src[edge]], self._token[src[edge]] = dst[edge], token[edge]

    def after(self, tree: Ints, byte_offset: Ints, most: int) -> Ints:
        """Copy the tokens after byte offsets of texts.

        tree (Ints): The document of each mention [mentions].
        byte_offset (Ints): The byte offset after its tokens so far; outside of the text there is no
            draft [mentions].
        most (int): Most tokens of a draft.
        RETURNS (Ints): The tokens; ABSENT after a draft's end [mentions, most].
        """
        is_inside = (byte_offset >= 0) & (byte_offset < self._size[tree])
        node = np.where(is_inside, self._offset[tree] + byte_offset, self._sink)
        drafts = np.full((len(tree), most), ABSENT)
        for step in range(most):
            drafts[:, step] = self._token[node]
            node = self._next[node]
        return drafts

    def starting_at(self, tree: int, tokens: Ints, most: int) -> Ints:
        """Copy the tokens of mentions that begin in given tokens of a text.

        tree (int): The document.
        tokens (Ints): Indices of the text's tokens [mentions].
        most (int): Most tokens of a draft, at least one.
        RETURNS (Ints): The tokens; ABSENT after a draft's end [mentions, most].
        """
        lattice, sizes = self._lattices[tree], self._token_bytes.sizes[self._ids[tree]]
        bounds = np.cumsum(np.append(0, sizes)) - len(self._token_bytes.prefix)
        drafts = np.full((len(tokens), most), ABSENT)
        n_starts = self._n_starts[tree]
        start_byte = lattice.start_byte
        first = np.searchsorted(start_byte, bounds[tokens])
        inside = np.flatnonzero(first < n_starts)
        inside = inside[start_byte[first[inside]] < bounds[tokens[inside] + 1]]
        if not len(inside):
            return drafts
        # Of the tokens that begin at a byte offset the last is the longest.
        edge = np.searchsorted(start_byte, start_byte[first[inside]], side="right") - 1
        drafts[inside, 0] = lattice.token[edge]
        node = lattice.dst[edge]
        drafts[inside, 1:] = self.after(np.full(len(node), tree), node, most - 1)
        return drafts
