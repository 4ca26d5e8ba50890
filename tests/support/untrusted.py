"""Files that run code where they are read carelessly, and changes to files."""

import srsly

# Source of a module that writes a file when it is imported.
CODE = "open({path!r}, 'w')\nfrom transformers import LlamaConfig as EvilConfig\n"


class Evil:
    """Writes a file when its pickle is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def change(path, **settings):
    srsly.write_json(path, {**srsly.read_json(path), **settings})


def flip(path, at=-1):
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(bytes(data))
