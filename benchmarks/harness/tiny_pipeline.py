"""A pipeline of a tiny random network over bytes, which needs no weights, and texts for it."""

import random
from collections.abc import Iterator
from pathlib import Path

import spacy

NAMES = ("Ada", "Bo", "Rome", "Oslo", "Bergen")
WORDS = (*NAMES, "the", "of", "a", "in", "to", "met", "left", "saw", "near", "old", "port", "ship")


def write_pipeline(folder: Path) -> Path:
    """Write the pipeline: one layer of 16 dimensions, two labels.

    folder (Path): Parent folder of the base and the pipeline.
    RETURNS (Path): The pipeline's folder.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(folder / "base")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
    )
    torch.manual_seed(1)
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "padellm_ner",
        config={
            "labels": ["person", "place"],
            "model": {
                "@architectures": "spacy-padellm.CausalLM.v1",
                "name": str(folder / "base"),
                "device": "cpu",
            },
            "decoder": {
                "@misc": "spacy-padellm.tree_decoder.v1",
                "max_count": 2,
                "max_mention_tokens": 8,
            },
        },
    )
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline"


def byte_tokenizer():
    """RETURNS (transformers.PreTrainedTokenizerFast): One token per byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {piece: number for number, piece in enumerate(alphabet)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def texts(n: int, seed: int = 0) -> Iterator[str]:
    """Make short texts; each has a word that no other has, as real texts do.

    n (int): Number of texts.
    seed (int): Seed of the random choice of words.
    YIELDS (str): The texts.
    """
    chance = random.Random(seed)
    for _ in range(n):
        words = chance.choices(WORDS, k=chance.randint(3, 8))
        words.insert(chance.randrange(len(words)), f"{chance.getrandbits(32):x}")
        yield " ".join(words) + "."
