"""Text to token ids and back. Special tokens in a text are encoded as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

BACKEND_PROBES = ("", "a", " A  b\tc\n", "naïve e\u0301 — 北京 😀", "<s> 1998")


class Codec:
    """A tokenizer, with the methods that prompts and decoders use.

    tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer of the base model.
    """

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """RETURNS (list[int]): Token ids of a string; special tokens in it are plain text."""
        return self.encode_texts([text])[0]

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
        # The last call of the tokenizer may have set these.
        if not backend.encode_special_tokens:
            backend.encode_special_tokens = True
        if backend.truncation is not None:
            backend.no_truncation()
        if backend.padding is not None:
            backend.no_padding()
        encodings = backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    @cached_property
    def _backend(self) -> Any:
        """RETURNS (tokenizers.Tokenizer | None): The backend, which encodes batches without
        offsets; None if its ids differ from the tokenizer's."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if not hasattr(backend, "encode_batch_fast"):
            return None
        texts = [
            *BACKEND_PROBES,
            *(f"a{token} {token}b" for token in self.tokenizer.all_special_tokens),
        ]
        expected = self._encode_by_tokenizer(texts)
        return backend if self._encode_by_backend(backend, texts) == expected else None

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Character offsets of the tokens of `encode(text)`.

        text (str): A text.
        RETURNS (list[tuple[int, int]]): Start and end character of each token; a space before a
            word may be part of its first token.
        RAISES (ValueError): A tokenizer without offsets.
        """
        if not getattr(self.tokenizer, "is_fast", False):
            raise ValueError(
                f"The tokenizer {self.tokenizer.name_or_path!r} has no offsets of its tokens in "
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
        """RETURNS (list[int]): One token id per decimal digit, whatever the tokenizer merges."""
        return [self.digit_ids[int(digit)] for digit in str(number)]

    def encode_mention(self, mention: str) -> list[int]:
        """Token ids of a mention as the model is trained to generate it: on one line.

        mention (str): A string of the text.
        RETURNS (list[int]): The token ids, with spaces for line breaks.
        """
        return self.encode(one_line(mention))

    def decode(self, ids: Sequence[int]) -> str:
        """RETURNS (str): The text of token ids, without spaces at its ends."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text.strip(" ")

    @cached_property
    def prefix(self) -> list[int]:
        """RETURNS (list[int]): The beginning-of-sequence id, if the tokenizer writes one."""
        start = self.tokenizer.bos_token_id
        ids = self.tokenizer("a")["input_ids"]
        return [start] if start is not None and ids[0] == start else []

    @cached_property
    def end_id(self) -> int:
        """The token id that ends a number or a mention.

        RETURNS (int): The id of a line break, if that is one token; else the end-of-sequence id.
        RAISES (ValueError): A tokenizer with neither.
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
        """RETURNS (tuple[int, ...]): One token id for each of the digits 0 to 9.

        RAISES (ValueError): A tokenizer without a token for a digit.
        """
        return tuple(self._digit_id(digit) for digit in "0123456789")

    @cached_property
    def ignores_case(self) -> bool:
        """RETURNS (bool): Whether the tokenizer lower-cases, and so decodes to lower case."""
        return self.decode(self.encode("A")) == "a"

    def _digit_id(self, digit: str) -> int:
        # The last id: a tokenizer with a dummy prefix encodes "3" as "▁", "3" or as "▁3"; behind
        # another digit there is no prefix.
        for text in (digit, digit * 2, "\n" + digit):
            ids = self.encode(text)
            if ids and self.tokenizer.decode(ids[-1:]).strip() == digit:
                return ids[-1]
        digit_id = self.tokenizer.convert_tokens_to_ids(digit)
        if digit_id is None or digit_id == self.tokenizer.unk_token_id:
            raise ValueError(
                f"The tokenizer {self.tokenizer.name_or_path!r} has no token for the digit "
                f"{digit!r}, so counts can't be generated. Use another base."
            )
        return digit_id


def one_line(text: str) -> str:
    """RETURNS (str): The text with a space for each newline and carriage return, as the model is
    trained to generate it; offsets don't change."""
    return text.replace("\n", " ").replace("\r", " ")
