"""`spacy train` with the recipes in configs/ and the tiny base, in this process."""

import io
import re

import spacy
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from support.pipelines import ROOT, example

QUICK = {
    "components.padellm_ner.decoder.max_count": 2,
    "components.padellm_ner.decoder.max_mention_tokens": 12,
    "components.padellm_ner.model.device": "cpu",
    "training.batcher.size": 8,
    "training.eval_frequency": 2,
    "training.max_steps": 4,
    "training.optimizer.learn_rate.warmup_steps": 1,
    "training.patience": 0,
}

# Settings under which the tiny base learns a few sentences by heart.
LEARN = {
    "training__max_steps": 80,
    "training__optimizer__learn_rate__initial_rate": 0.02,
    "training__optimizer__grad_clip": 0.0,
    "components__padellm_ner__model__adapter__lora_dropout": 0.0,
}


def docs_of(gold, lang="en"):
    """RETURNS (list[Doc]): Gold documents of (text, entities)."""
    nlp = spacy.blank(lang)
    return [example(nlp, text, entities).reference for text, entities in gold]


def write_corpus(path, docs):
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return str(path)


def recipe(name, base, folder, docs, dev=None, **overrides):
    """A recipe of configs/ for the tiny base, a corpus and a few steps; dots as `__`."""
    paths = {
        "paths.train": write_corpus(folder / "train.spacy", docs),
        "paths.dev": write_corpus(folder / "dev.spacy", docs if dev is None else dev),
        "paths.labels": str(folder / "labels.json"),
        "paths.base": str(base),
    }
    given = {name.replace("__", "."): value for name, value in overrides.items()}
    return load_config(ROOT / "configs" / f"{name}.cfg", overrides={**QUICK, **paths, **given})


def run(config, folder):
    """Train, and return the pipeline and the printed text."""
    out = folder / "training"
    out.mkdir(exist_ok=True)
    nlp = init_nlp(config)
    printed = io.StringIO()
    train(nlp, out, stdout=printed, stderr=printed)
    return nlp, printed.getvalue()


def steps(printed):
    """The steps that the console logger shows."""
    return [int(step) for step in re.findall(r"^ *\d+ +(\d+) ", printed, re.MULTILINE)]
