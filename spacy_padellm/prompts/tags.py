"""Tags of a text's tokens: a mention of a label begins here, goes on here, or neither."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, count

from ..tokenization.codec import Codec


class Tags:
    """The tokens that stand for tags, and the tags of gold texts.

    codec (Codec): The tokenizer.
    words (Callable[[str], Sequence[int]]): Token ids of what the model reads for a label.
    """

    def __init__(self, codec: Codec, words: Callable[[str], Sequence[int]]):
        self._codec = codec
        self._words = words
        self._symbols: dict[tuple[str, ...], list[int]] = {}

    def symbols(self, labels: Sequence[str]) -> list[int]:
        """What tags are said with: the end token outside of mentions, "-" inside of one, and where
        one begins the first token of its label's words that no tag before it has taken (else the
        first such digit, or token of the vocabulary).

        labels (Sequence[str]): The labels asked for, in order.
        RETURNS (list[int]): Token ids: outside, inside, then one a label; all of them different.
        """
        key = tuple(labels)
        if key not in self._symbols:
            taken = [self._codec.end_id, self._codec.encode("-")[-1]]
            for label in key:
                tokens = chain(self._words(label), self._codec.digit_ids, count())
                taken.append(next(token for token in tokens if token not in taken))
            self._symbols[key] = taken
        return self._symbols[key]

    def of(
        self, text: str, spans: Sequence[tuple[int, int, str]], labels: Sequence[str]
    ) -> list[int]:
        """RETURNS (list[int]): The tag of each token of a text with these mentions."""
        outside, inside, *begin = self.symbols(labels)
        begins = dict(zip(labels, begin, strict=True))
        offsets = self._codec.token_offsets(text)
        tags = []
        begun: set[tuple[int, int, str]] = set()
        for start, end in offsets:
            new = [span for span in spans if span[0] < end and span not in begun]
            if new:
                begun.add(new[0])
                tags.append(begins[new[0][2]])
            else:
                held = any(span[0] < end and start < span[1] for span in spans)
                tags.append(inside if held else outside)
        return tags
