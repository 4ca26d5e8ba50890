"""Text to token ids and back, with control pieces and text kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

PROBES = ("", "a", " A  b\tc\n", "naïve e\u0301 — 北京 😀", "<s> 1998")


class Codec:
    """What prompts and decoders need of a tokenizer.

    tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer of the base model.
    """

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer

    def encode(self, piece: str) -> list[int]:
        """RETURNS (list[int]): Ids of a piece on its own; special tokens in it are plain text."""
        return self.encode_texts([piece])[0]

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """RETURNS (list[list[int]]): Ids of each text; special tokens in it are plain text."""
        if not texts:  # transformers raises on an empty batch
            return []
        if self._backend is not None:
            return self._encode_by_backend(self._backend, texts)
        return self._encode_by_tokenizer(texts)

    def _encode_by_tokenizer(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            verbose=False,
        )
        return encoded["input_ids"]

    @staticmethod
    def _encode_by_backend(backend: Any, texts: Sequence[str]) -> list[list[int]]:
        # Each call of the tokenizer sets these anew, so they are as its last call left them.
        if not backend.encode_special_tokens:
            backend.encode_special_tokens = True
        if backend.truncation is not None:
            backend.no_truncation()
        if backend.padding is not None:
            backend.no_padding()
        return [one.ids for one in backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    @cached_property
    def _backend(self) -> Any:
        """RETURNS (tokenizers.Tokenizer | None): What encodes at once, without offsets, where it
        gives the tokenizer's own ids."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if not hasattr(backend, "encode_batch_fast"):
            return None
        texts = [*PROBES, *(f"a{token} {token}b" for token in self.tokenizer.all_special_tokens)]
        known = self._encode_by_tokenizer(texts)
        return backend if self._encode_by_backend(backend, texts) == known else None

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Where the tokens of `encode(text)` lie.

        text (str): A text.
        RETURNS (list[tuple[int, int]]): Character offsets of each token; a space before a word may
            be part of its first token.
        RAISES (ValueError): A tokenizer that doesn't know.
        """
        if not getattr(self.tokenizer, "is_fast", False):
            raise ValueError(
                f"The tokenizer {self.tokenizer.name_or_path!r} can't tell where its tokens lie in "
                "the text, which tag_text needs. Set tag_text = false, or use a base with a "
                "tokenizer.json."
            )
        return self.tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )["offset_mapping"]

    def encode_number(self, number: int) -> list[int]:
        """RETURNS (list[int]): One id a decimal digit, whatever the tokenizer merges."""
        return [self.digit_ids[int(digit)] for digit in str(number)]

    def encode_mention(self, mention: str) -> list[int]:
        """Ids of a mention as the model is trained to say it: on one line.

        mention (str): A string of the text.
        RETURNS (list[int]): The ids; line breaks became spaces.
        """
        return self.encode(one_line(mention))

    def decode(self, ids: Sequence[int]) -> str:
        """RETURNS (str): The text of ids, as it is but for spaces at its ends."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text.strip(" ")

    @cached_property
    def prefix(self) -> list[int]:
        """RETURNS (list[int]): The beginning-of-sequence id where the tokenizer writes one."""
        start = self.tokenizer.bos_token_id
        ids = self.tokenizer("a")["input_ids"]
        return [start] if start is not None and ids[0] == start else []

    @cached_property
    def end_id(self) -> int:
        """The id that ends a number or a mention.

        RETURNS (int): The one id of a line break, else the end-of-sequence id.
        RAISES (ValueError): A tokenizer that has neither.
        """
        ids = self.encode("\n")
        if len(ids) == 1 and self.tokenizer.decode(ids) == "\n":
            return ids[0]
        if self.tokenizer.eos_token_id is None:
            raise ValueError(
                f"The tokenizer {self.tokenizer.name_or_path!r} has neither one token for a line "
                "break nor an end-of-sequence token, so no answer could end. Use another base."
            )
        return self.tokenizer.eos_token_id

    @cached_property
    def digit_ids(self) -> tuple[int, ...]:
        """RETURNS (tuple[int, ...]): The ids of the digits 0 to 9, one each.

        RAISES (ValueError): A tokenizer without a token for a digit.
        """
        return tuple(self._digit_id(digit) for digit in "0123456789")

    @cached_property
    def ignores_case(self) -> bool:
        """RETURNS (bool): Whether the tokenizer lower-cases, so that mentions come back so."""
        return self.decode(self.encode("A")) == "a"

    def _digit_id(self, digit: str) -> int:
        # The last id: a tokenizer with a dummy prefix gives "▁", "3" or "▁3"; after another
        # digit it is the bare one.
        for piece in (digit, digit * 2, "\n" + digit):
            ids = self.encode(piece)
            if ids and self.tokenizer.decode(ids[-1:]).strip() == digit:
                return ids[-1]
        known = self.tokenizer.convert_tokens_to_ids(digit)
        if known is None or known == self.tokenizer.unk_token_id:
            raise ValueError(
                f"The tokenizer {self.tokenizer.name_or_path!r} has no token for the digit "
                f"{digit!r}, so counts can't be said. Use another base."
            )
        return known


def one_line(text: str) -> str:
    """RETURNS (str): The text with each line break character as one space, same length."""
    return text.replace("\n", " ").replace("\r", " ")
