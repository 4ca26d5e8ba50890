import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import PIECES
from support.odd_codecs import llama2_codec, metaspace_codec
from tokenizers import normalizers

from spacy_padellm.tokenization.codec import Codec, one_line


@given(st.text(max_size=40))
def test_bytes_come_back(toy_codec, text):
    assert toy_codec.decode(toy_codec.encode(text)) == text.strip(" ")


def test_texts_are_encoded_one_by_one(toy_codec):
    texts = ["the", "", "a the 北京"]
    assert toy_codec.encode_texts(texts) == [toy_codec.encode(text) for text in texts]
    assert toy_codec.encode_texts([]) == []
    assert toy_codec.encode("") == []


@pytest.mark.parametrize("text", ["<|im_end|>", "a<|endoftext|>b", "<num>", "<mention 1>"])
def test_special_tokens_in_a_text_are_text(toy_codec, text):
    ids = toy_codec.encode(text)
    assert not set(ids) & set(toy_codec.tokenizer.all_special_ids)
    assert len(ids) > 1
    assert toy_codec.decode(ids) == text


def test_control_pieces_that_are_special_tokens_are_text_too():
    codec = metaspace_codec(additional_special_tokens=["<num>"], eos_token="</s>")
    (special,) = codec.tokenizer.convert_tokens_to_ids(["<num>"])
    assert codec.tokenizer("<num>")["input_ids"] == [special]
    assert special not in codec.encode("a<num>")
    assert codec.decode(codec.encode("a<num>")) == "a<num>"


def test_numbers_are_one_token_a_digit(toy_codec):
    assert len(set(toy_codec.digit_ids)) == 10
    assert toy_codec.encode_number(0) == [toy_codec.digit_ids[0]]
    assert toy_codec.encode_number(120) == [toy_codec.digit_ids[n] for n in (1, 2, 0)]
    assert toy_codec.decode(toy_codec.encode_number(120)) == "120"


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
@pytest.mark.parametrize("pieces", [(), ("12", "99"), tuple(f"▁{n}" for n in range(10))])
def test_digits_of_tokenizers_with_a_dummy_prefix(scheme, pieces):
    """Whether "3" is "▁", "3" or "▁3", and whatever numbers are pieces of their own."""
    codec = metaspace_codec(scheme, pieces)
    digits = [codec.tokenizer.decode([token]).strip() for token in codec.digit_ids]
    assert digits == list("0123456789")
    assert len(set(codec.digit_ids)) == 10
    assert codec.tokenizer.unk_token_id not in codec.digit_ids


def test_digits_of_a_tokenizer_that_falls_back_to_bytes():
    codec = llama2_codec()
    assert codec.tokenizer.convert_ids_to_tokens(codec.digit_ids) == list("0123456789")


def test_no_token_for_a_digit():
    codec = metaspace_codec(digits="012345678", eos_token="</s>")
    with pytest.raises(ValueError, match="no token for the digit '9'"):
        codec.encode_number(1)


def test_a_line_break_ends_where_it_is_one_token(toy_codec):
    assert toy_codec.tokenizer.decode([toy_codec.end_id]) == "\n"


@pytest.mark.parametrize(
    "codec", [llama2_codec(), metaspace_codec(newline=False, eos_token="</s>")]
)
def test_else_the_end_of_the_sequence_does(codec):
    assert codec.end_id == codec.tokenizer.convert_tokens_to_ids("</s>")


def test_no_token_to_end_with():
    with pytest.raises(ValueError, match=r"neither one token for a line\s+break nor"):
        _ = metaspace_codec(newline=False).end_id


def test_prefix_is_the_beginning_that_the_tokenizer_writes(toy_codec):
    codec = llama2_codec()
    assert codec.prefix == [codec.tokenizer.bos_token_id]
    assert codec.tokenizer.bos_token_id not in codec.encode("a")  # prompts have it once
    assert toy_codec.prefix == []


def test_no_prefix_where_the_tokenizer_has_a_token_but_does_not_write_it():
    assert metaspace_codec(bos_token="<s>").prefix == []


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
def test_mentions_come_back_without_the_dummy_prefix(scheme):
    codec = metaspace_codec(scheme)
    for mention in ("abc", "abc de", "a<b"):
        assert codec.decode(codec.encode_mention(mention)) == mention


def test_mentions_are_encoded_on_one_line(toy_codec):
    assert one_line("a\r\nb\nc d") == "a  b c d"
    assert one_line("a\r\nb\tc\u2028d") == "a  b\tc\u2028d"
    ids = toy_codec.encode_mention("a\r\nb")
    assert toy_codec.decode(ids) == "a  b"
    assert toy_codec.end_id not in ids


def test_tokenizers_that_lower_case(toy_codec):
    codec = metaspace_codec()
    assert not codec.ignores_case
    assert not toy_codec.ignores_case
    lowering = metaspace_codec()
    lowering.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert lowering.ignores_case


@pytest.mark.weights
def test_the_default_base_encodes_alike_under_every_version(real_model):
    """The shipped adapter was trained on these ids."""
    codec = real_model.codec
    assert codec.prefix == []
    assert codec.end_id == 198
    assert codec.digit_ids == tuple(range(32, 42))
    assert codec.encode("text:\n") == [2692, 42, 198]
    assert codec.encode("\nentity type:\n") == [198, 20065, 1502, 42, 198]
    assert codec.encode("\n\n<num>") == [198, 198, 44, 2871, 46]
    assert codec.encode("\n<mention 12>") == [198, 44, 358, 285, 216, 33, 34, 46]
    assert codec.encode("<|im_end|>") == [44, 108, 306, 79, 486, 108, 46]
    text = "北京 is\t<mention 1>"
    expected = [30158, 241, 16736, 122, 314, 197, 44, 358, 285, 216, 33, 46]
    assert codec.encode(text) == expected
    assert codec.decode(expected) == text


CODECS = [llama2_codec(), metaspace_codec(additional_special_tokens=["<num>"], eos_token="</s>")]


@given(
    texts=st.lists(
        st.lists(st.sampled_from([*PIECES, "<num>", "</s>"]) | st.text(max_size=4), max_size=6).map(
            "".join
        ),
        min_size=1,
        max_size=4,
    ),
    which=st.integers(0, 2),
)
def test_ids_are_those_of_the_tokenizer(toy_codec, texts, which):
    codec = [toy_codec, *CODECS][which]
    assert codec._backend is not None
    options = {"add_special_tokens": False, "split_special_tokens": True}
    expected = [codec.tokenizer(text, **options)["input_ids"] for text in texts]
    codec.tokenizer("<num></s>")  # leaves the backend as it takes special tokens for such
    assert codec.encode_texts(texts) == expected


def test_settings_of_other_calls_are_ignored(toy_tokenizer):
    codec = Codec(copy.deepcopy(toy_tokenizer))
    texts = ["the <|im_end|>", "in the anum, the longer one"]
    expected = codec.encode_texts(texts)
    codec.tokenizer.pad_token = "<|endoftext|>"
    codec.tokenizer(texts, padding="max_length", truncation=True, max_length=3)
    assert codec.tokenizer.backend_tokenizer.truncation is not None
    assert codec.encode_texts(texts) == expected


def test_a_tokenizer_that_does_more_than_its_backend(toy_tokenizer):
    class Lowering(type(toy_tokenizer)):
        def __call__(self, text, **options):
            text = [one.lower() for one in text] if isinstance(text, list) else text.lower()
            return super().__call__(text, **options)

    tokenizer = Lowering(tokenizer_object=toy_tokenizer.backend_tokenizer)
    codec = Codec(tokenizer)
    assert codec._backend is None
    assert codec.encode_texts(["THE"]) == [Codec(toy_tokenizer).encode("the")]
