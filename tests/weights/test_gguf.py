import json

import gguf
import numpy
import pytest
import torch
from gguf import GGUFWriter
from transformers import AutoModelForCausalLM, AutoTokenizer

from spacy_padellm.weights.gguf import check_gguf, convert_gguf, converted_folder

WIDTH, HIDDEN, HEADS, LAYERS = 32, 64, 4, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "l l", "he ll", "hell o"]


def byte_alphabet():
    """The 256 characters that byte-level tokenizers write bytes as."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + i) for i in range(len(others))]


def write_gguf(path, skip=(), architecture="llama"):
    """A llama of two layers with random weights, and a byte-level tokenizer of four merges."""
    tokens = SPECIAL + byte_alphabet() + ["".join(merge.split()) for merge in MERGES]
    types = [gguf.TokenType.CONTROL] * len(SPECIAL)
    types += [gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIAL))
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    tensors = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"blk.{i}.{name}"] = (WIDTH, WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            tensors[f"blk.{i}.{name}"] = (HIDDEN, WIDTH)
        tensors[f"blk.{i}.ffn_down"] = (WIDTH, HIDDEN)
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{i}.{name}"] = (WIDTH,)
    random = numpy.random.default_rng(0)
    for name, shape in tensors.items():
        if name not in skip:
            writer.add_tensor(f"{name}.weight", random.normal(size=shape).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_converted_folder_loads(tmp_path, capsys):
    source = write_gguf(tmp_path / "tiny.gguf")
    folder = tmp_path / "converted"
    folder.mkdir()
    versions = convert_gguf(source, folder, progress=False)

    assert capsys.readouterr().err == ""
    assert set(versions) == {"transformers", "torch", "gguf"}
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("hello é", add_special_tokens=False, return_tensors="pt").input_ids
    assert tokenizer.decode(ids[0]) == "hello é"
    assert tokenizer.convert_ids_to_tokens(ids[0].tolist())[0] == "hello"
    assert torch.isfinite(model(ids).logits).all()
    embeddings = gguf.GGUFReader(source).tensors[0]
    assert embeddings.name == "token_embd.weight"
    expected = torch.tensor(embeddings.data.copy()).bfloat16().float()
    assert torch.equal(model.get_input_embeddings().weight.detach().float(), expected)


def test_converted_config_keeps_rope_theta(tmp_path):
    folder = tmp_path / "converted"
    folder.mkdir()
    convert_gguf(write_gguf(tmp_path / "tiny.gguf"), folder, progress=False)
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    assert {**config, **config.get("rope_parameters", {})}["rope_theta"] == 100000.0
    assert (folder / "model.safetensors").stat().st_mode == (folder / "config.json").stat().st_mode


def test_progress_is_on_standard_error(tmp_path, capsys):
    folder = tmp_path / "converted"
    folder.mkdir()
    convert_gguf(write_gguf(tmp_path / "tiny.gguf"), folder, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Converting" in err
    assert "3/3" in err


@pytest.mark.parametrize("skip", ["blk.1.ffn_down", "token_embd"])
def test_missing_weights_are_not_made_up(tmp_path, skip):
    folder = tmp_path / "converted"
    folder.mkdir()
    source = write_gguf(tmp_path / "tiny.gguf", skip=[skip])
    with pytest.raises(ValueError, match=r"tiny\.gguf"):
        convert_gguf(source, folder, progress=False)


def test_unknown_architecture_is_named(tmp_path):
    source = write_gguf(tmp_path / "odd.gguf", architecture="phonograph")
    with pytest.raises(ValueError, match=r"can't convert .*odd\.gguf.*phonograph"):
        convert_gguf(source, tmp_path, progress=False)


def test_check_gguf(tmp_path):
    with pytest.raises(OSError, match=r"no GGUF file .*none\.gguf"):
        check_gguf(tmp_path / "none.gguf")
    text = tmp_path / "text.gguf"
    text.write_text("<html>", encoding="utf8")
    with pytest.raises(ValueError, match=r"text\.gguf is no GGUF file.*b'<htm'"):
        check_gguf(text)
    part = tmp_path / "big-00001-of-00003.gguf"
    part.write_bytes(b"GGUF")
    with pytest.raises(ValueError, match=r"00001-of-00003\.gguf is one part.*Merge"):
        check_gguf(part)


def test_converted_folder_depends_on_file_and_transformers(tmp_path, monkeypatch):
    one = converted_folder("a" * 64, tmp_path)
    assert one != converted_folder("b" * 64, tmp_path)
    monkeypatch.setattr("spacy_padellm.weights.gguf.version", lambda package: "99.1.0")
    other = converted_folder("a" * 64, tmp_path)
    assert other.parent == one.parent == tmp_path / "converted"
    assert other != one
