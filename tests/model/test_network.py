"""Folders that hold something other than a whole causal LM are refused."""

import pytest
import torch

from spacy_padellm.model.network import load_network


def test_classifier_is_refused(tmp_path):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
    )
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks weights of a 'llama' causal LM: lm_head"):
        load_network(tmp_path, "cpu", torch.float32)


def test_encoder_is_refused(tmp_path, toy_codec):
    from transformers import BertConfig, BertLMHeadModel

    from spacy_padellm.model.network import probed_model

    config = BertConfig(
        vocab_size=len(toy_codec.tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    network = BertLMHeadModel(config).eval()
    with pytest.raises(ValueError, match="'bert' is no causal LM"):
        probed_model(network, toy_codec)


def test_truncated_weights_are_refused(tmp_path, tiny_network):
    tiny_network("llama").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="can't read the folder"):
        load_network(tmp_path, "cpu", torch.float32)
