"""Tags of a text's tokens: start of a mention of a label, inside a mention, or outside of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, count

from ..tokenization.codec import Codec


class Tags:
    """The token ids of tags, and the tags of gold texts.

    codec (Codec): The tokenizer.
    words (Callable[[str], Sequence[int]]): Returns the token ids of a label's words in the prompt.
    """

    def __init__(self, codec: Codec, words: Callable[[str], Sequence[int]]):
        self._codec = codec
        self._words = words
        self._token_ids: dict[tuple[str, ...], list[int]] = {}

    def token_ids(self, labels: Sequence[str]) -> list[int]:
        """Token ids of the tags.

        Outside of mentions this is the end token, inside a mention "-", and at a mention's start
        the first token of its label's words that is not yet the id of another tag; failing that the
        first such digit, or token of the vocabulary.

        labels (Sequence[str]): The labels of the prompts, in order.
        RETURNS (list[int]): Token ids of the tags outside, inside, then start of each label; all
            different [2 + labels].
        """
        key = tuple(labels)
        if key not in self._token_ids:
            ids = [self._codec.end_id, self._codec.encode("-")[-1]]
            for label in key:
                candidates = chain(self._words(label), self._codec.digit_ids, count())
                ids.append(next(token for token in candidates if token not in ids))
            self._token_ids[key] = ids
        return self._token_ids[key]

    def of_text(
        self, text: str, spans: Sequence[tuple[int, int, str]], labels: Sequence[str]
    ) -> list[int]:
        """Tag the tokens of a gold text.

        text (str): The text.
        spans (Sequence[tuple[int, int, str]]): Start and end character and label of each mention.
        labels (Sequence[str]): The labels of the prompts, in order.
        RETURNS (list[int]): Token id of each token's tag [text tokens].
        """
        outside, inside, *start_ids = self.token_ids(labels)
        start_id = dict(zip(labels, start_ids, strict=True))
        tags = []
        started: set[tuple[int, int, str]] = set()
        for start, end in self._codec.token_offsets(text):
            new = [span for span in spans if span[0] < end and span not in started]
            if new:
                started.add(new[0])
                tags.append(start_id[new[0][2]])
            else:
                is_inside = any(span[0] < end and start < span[1] for span in spans)
                tags.append(inside if is_inside else outside)
        return tags
