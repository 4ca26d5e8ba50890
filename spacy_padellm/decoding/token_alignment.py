"""Generated token ids as text: the tokens of each character."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property

from ..tokenization.codec import Codec


class TokenAlignment:
    """Aligns generated tokens with the characters of their text.

    A model need not generate a text in the tokens it was trained on: one token may hold the end of
    a mention and the text after it, or a part of a character. So tokens are aligned by the texts of
    prefixes: token i covers the characters from the first that `ids[:i]` leaves incomplete to the
    last that `ids[:i + 1]` has begun.

    codec (Codec): The tokenizer.
    ids (Sequence[int]): The tokens.
    """

    def __init__(self, codec: Codec, ids: Sequence[int]):
        self._codec = codec
        self._ids = list(ids)
        self._reached: dict[int, tuple[int, int]] = {}

    @cached_property
    def text(self) -> str:
        """RETURNS (str): The text of all tokens, with spaces at its ends."""
        return self._decode(len(self._ids))

    def tokens(self, ranges: Iterable[tuple[int, int]]) -> list[int]:
        """Find the tokens that cover characters, in part or whole.

        ranges (Iterable[tuple[int, int]]): Start and end character of each range.
        RETURNS (list[int]): Indices of the tokens, rising.
        """
        found: set[int] = set()
        prefixes = range(len(self._ids) + 1)
        for start, end in ranges:
            if start < end:
                first = bisect_right(prefixes, start, key=self._begun) - 1
                last = bisect_left(prefixes, end, key=self._complete)
                found.update(range(first, min(last, len(self._ids))))
        return sorted(found)

    def _complete(self, n: int) -> int:
        return self._reach(n)[0]

    def _begun(self, n: int) -> int:
        return self._reach(n)[1]

    def _reach(self, n: int) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): Characters that the first n tokens complete, and begin."""
        if n not in self._reached:
            prefix, whole = self._decode(n), self.text
            if whole.startswith(prefix):
                complete, begun = len(prefix), len(prefix)
            else:  # the replacement characters of an incomplete one
                complete = _n_shared(prefix, whole)
                begun = complete + 1
            self._reached[n] = complete, begun
        return self._reached[n]

    def _decode(self, n: int) -> str:
        return self._codec.tokenizer.decode(
            self._ids[:n], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )


def _n_shared(one: str, other: str) -> int:
    """RETURNS (int): Number of characters that two strings share at their beginning."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
