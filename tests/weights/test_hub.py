import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import spacy_padellm

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
CODE = """
import json, sys
from spacy_padellm.weights.resolver import resolve_weights
try:
    base = resolve_weights(sys.argv[1], **json.loads(sys.argv[2]))
    files = sorted(path.name for path in base.folder.iterdir())
    print(json.dumps({"folder": str(base.folder), "files": files}))
except (OSError, ValueError) as error:
    print(json.dumps({"type": type(error).__name__, "text": str(error)}))
"""


class Hub(http.server.ThreadingHTTPServer):
    """The hub's routes that a download uses. The files in `broken` are not found."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        self.broken = set()
        self.fetched = []


class Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self):
        path = self.path.partition("?")[0]
        files = self.server.files
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        if path == f"/api/models/owner/name/tree/{COMMIT}":
            entries = [
                {"type": "file", "path": file, "size": len(content), "oid": file}
                for file, content in files.items()
            ]
            self.answer(200, json.dumps(entries).encode(), {})
        elif path.startswith("/api/models/owner/name"):
            siblings = [{"rfilename": file} for file in files]
            facts = {"id": "owner/name", "sha": COMMIT, "siblings": siblings}
            self.answer(200, json.dumps(facts).encode(), {})
        elif name in files and name not in self.server.broken:
            self.answer(200, files[name], {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})
            if self.command == "GET":
                self.server.fetched.append(name)
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound" if name else "RepoNotFound"})

    do_HEAD = do_GET

    def answer(self, code, content, headers):
        self.send_response(code)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub():
    files = {
        "config.json": b'{"model_type": "llama"}',
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b"{}",
        "model.safetensors.index.json": json.dumps(
            {"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
        ).encode(),
        SHARDS[0]: b"one",
        SHARDS[1]: b"two",
        "consolidated.safetensors": b"the same weights again",
        "pytorch_model.bin": b"the same weights again",
        "modeling_name.py": b"raise SystemExit",
        "onnx/config.json": b"{}",
    }
    server = Hub(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def resolve(tmp_path, hub):
    def run(name, offline=False, endpoint=None, **settings):
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(spacy_padellm.__file__).parents[1]),
            "SPACY_PADELLM_CACHE": str(tmp_path / "cache"),
            "HF_HOME": str(tmp_path / "hub"),
            "HF_ENDPOINT": endpoint or f"http://127.0.0.1:{hub.server_address[1]}",
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        environment.pop("HF_HUB_CACHE", None)
        command = [sys.executable, "-c", CODE, name, json.dumps(settings)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return {**json.loads(done.stdout), "err": done.stderr}

    return run


def test_snapshot_holds_what_is_needed_and_lasts_offline(hub, resolve):
    expected = ["config.json", *SHARDS, "model.safetensors.index.json"]
    expected += ["tokenizer.json", "tokenizer_config.json"]
    first = resolve("owner/name")
    assert first["files"] == sorted(expected)
    assert sorted(hub.fetched) == sorted(expected)
    assert "fetching it, once" in " ".join(first["err"].split())
    second = resolve("owner/name", offline=True)
    assert second == {**first, "err": ""}
    assert resolve("owner/name", download=False)["files"] == sorted(expected)
    assert len(hub.fetched) == len(expected)
    resolve("owner/name", refresh=True)
    assert len(hub.fetched) == 2 * len(expected)


def test_quiet(resolve):
    assert resolve("owner/name", progress=False)["err"] == ""


def test_interrupted_snapshot_is_completed(hub, resolve):
    hub.broken.add(SHARDS[1])
    failed = resolve("owner/name")
    assert failed["type"] == "OSError"
    assert "owner/name" in failed["text"]
    # what is there is no base yet, network or not
    assert "is not on this machine" in resolve("owner/name", download=False)["text"]
    assert "padellm download owner/name" in resolve("owner/name", offline=True)["text"]
    hub.broken.clear()
    assert set(SHARDS) <= set(resolve("owner/name")["files"])


def test_base_without_safetensors_is_refused_before_it_is_fetched(hub, resolve):
    for name in [*SHARDS, "model.safetensors.index.json"]:
        del hub.files[name]
    refused = resolve("owner/name")
    assert refused["type"] == "ValueError"
    assert "'owner/name' has neither model.safetensors nor" in refused["text"]
    assert hub.fetched == []


def test_base_that_the_hub_does_not_know(resolve):
    refused = resolve("owner/none")
    assert refused["type"] == "OSError"
    assert "no base model 'owner/none'" in refused["text"]


def test_name_that_the_hub_forbids(resolve):
    refused = resolve("owner--/name")
    assert refused["type"] == "ValueError"
    assert "'owner--/name'" in refused["text"]


@pytest.mark.parametrize("way", ["refused", "silent", "offline"])
def test_no_network(resolve, way):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if way == "silent":  # takes the connection and never answers
            listener.listen()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        start = time.monotonic()
        refused = resolve("owner/name", endpoint=endpoint, offline=way == "offline")
        assert time.monotonic() - start < 10
    assert refused["type"] == "OSError"
    assert "'owner/name' can't be fetched from the hub" in refused["text"]
    assert "python -m spacy padellm download owner/name" in refused["text"]
    assert "Traceback" not in refused["err"]
