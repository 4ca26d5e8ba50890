"""Tokenizers that are not over bytes: as T5's and as Llama 2's."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from spacy_padellm.tokenization.codec import Codec

CHARACTERS = "abcdefghijklmnopqrstuvwxyz<>|_A"


def metaspace_codec(scheme="first", pieces=(), newline=True, digits="0123456789", **special):
    """A unigram tokenizer as T5 and Llama have it: words start with ▁, and so does the text."""
    vocabulary = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁", -3.0)]
    vocabulary += [(piece, -5.0) for piece in [*CHARACTERS, *digits, *pieces]]
    vocabulary += [("\n", -3.0)] if newline else []
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    backend.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return Codec(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **special))


def llama2_codec():
    """Bytes where no piece fits: a line break is two tokens, the dummy prefix and <0x0A>."""
    digits = "0123456789"
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "▁", *digits, "a"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    return Codec(
        PreTrainedTokenizerFast(
            tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
        )
    )
