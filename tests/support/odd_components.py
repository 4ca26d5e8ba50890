"""A component that fails on words such as FAIL in a text; registered by the option --code."""

import os
import signal
import time

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch


@Language.factory("scripted_errors")
class ScriptedErrors:
    def __init__(self, nlp, name):
        self.name = name
        self.broken = False

    def __call__(self, doc):
        return next(iter(self.pipe([doc])), None)

    def set_error_handler(self, handler):
        self.handler = handler

    def pipe(self, docs, batch_size=128):
        for batch in minibatch(docs, batch_size):
            if len(batch) > 1 and any("TOGETHER" in doc.text for doc in batch):
                self.handler(self.name, self, batch, ValueError("not with others"))
                continue
            for doc in batch:
                if "BREAK" in doc.text:
                    self.broken = True
                if "FAIL" in doc.text or self.broken:
                    self.handler(self.name, self, [doc], ValueError("set to fail"))
                    continue
                if "RAISE" in doc.text:
                    raise KeyError("set to raise")
                if "KILL" in doc.text:
                    os.kill(os.getpid(), signal.SIGKILL)
                if "SLOW" in doc.text:
                    time.sleep(0.05)
                if "UNWRITABLE" in doc.text:
                    doc.user_data["object"] = object()
                if "OTHER" in doc.text:
                    doc = Doc(doc.vocab, ["something", "else"])
                if "DROP" not in doc.text:
                    yield doc
