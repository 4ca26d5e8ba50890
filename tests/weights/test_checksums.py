import hashlib
import json
import os
import subprocess

import pytest

from spacy_padellm.weights import checksums
from spacy_padellm.weights.resolver import resolve_weights


def test_identity_of_shards(cache, base):
    (base / "model.safetensors").unlink()
    shards = {"model-00001-of-00002.safetensors": b"one", "model-00002-of-00002.safetensors": b"2"}
    for name, content in shards.items():
        (base / name).write_bytes(content)
    index = {"weight_map": {"b": sorted(shards)[1], "a": sorted(shards)[0], "c": sorted(shards)[0]}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf8")
    (base / "unused.safetensors").write_bytes(b"unused")
    sums = subprocess.run(["sha256sum", *sorted(shards)], cwd=base, capture_output=True, check=True)
    assert resolve_weights(base).sha256 == hashlib.sha256(sums.stdout).hexdigest()
    (base / sorted(shards)[1]).unlink()
    with pytest.raises(ValueError, match=r"lacks model-00002-of-00002\.safetensors"):
        resolve_weights(base)


def test_checksum_is_cached_until_the_files_change(cache, base, monkeypatch):
    before = resolve_weights(base).sha256
    hashed = []
    real = checksums.sha256_of_file
    monkeypatch.setattr(
        checksums, "sha256_of_file", lambda path, **kw: hashed.append(path.name) or real(path, **kw)
    )
    assert resolve_weights(base).sha256 == before
    assert hashed == []
    (base / "model.safetensors").write_bytes(b"weights of another base")
    after = resolve_weights(base).sha256
    assert after != before
    assert hashed == ["model.safetensors"]


def test_verify_finds_a_change_that_sizes_and_times_hide(cache, base):
    before = resolve_weights(base)
    status = (base / "model.safetensors").stat()
    (base / "model.safetensors").write_bytes(b"Weights")
    os.utime(base / "model.safetensors", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert resolve_weights(base) == before
    with pytest.raises(ValueError, match=rf"damaged: sha256 .* instead of {before.sha256}"):
        resolve_weights(base, verify=True)
    after = resolve_weights(base, refresh=True)
    assert after.sha256 == hashlib.sha256(b"Weights").hexdigest()
    assert resolve_weights(base, verify=True) == after


def test_cache_that_cannot_be_written(base, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPACY_PADELLM_CACHE", str(tmp_path / "file"))
    assert resolve_weights(base) == resolve_weights(base, verify=True)


def test_torn_cache_entry_is_ignored(cache, base):
    before = resolve_weights(base)
    (entry,) = (cache / "sha256").iterdir()
    entry.write_text('{"sha256": "', encoding="utf8")
    assert resolve_weights(base) == before
