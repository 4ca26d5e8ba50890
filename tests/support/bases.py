"""Folders and files that stand for a base in tests of the weights."""

GGUF = b"GGUF and what a GGUF file holds"


def write_base(folder):
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf8")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder
