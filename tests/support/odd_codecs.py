"""Tokenizers that are not byte-level, such as those of T5 and Llama 2."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from spacy_padellm.tokenization.codec import Codec

CHARACTERS = "abcdefghijklmnopqrstuvwxyz<>|_A"


def metaspace_codec(scheme="first", pieces=(), newline=True, digits="0123456789", **special):
    """A unigram tokenizer as of T5 and Llama: words and the text start with ▁."""
    vocabulary = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁", -3.0)]
    vocabulary += [(piece, -5.0) for piece in [*CHARACTERS, *digits, *pieces]]
    vocabulary += [("\n", -3.0)] if newline else []
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    backend.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return Codec(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **special))


def llama2_codec():
    """Byte fallback: a line break is two tokens, the dummy prefix and <0x0A>."""
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
