"""Small pipelines for tests: a base of random weights, gold sentences, and their annotations."""

from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_padellm.documents.prediction import Count, Prediction
from spacy_padellm.documents.spans import Mention

ROOT = Path(__file__).parents[2]
LORA = {"r": 16, "lora_alpha": 32}
LABELS = ["person", "place"]
WINDOW = 256

GOLD = [
    ("Ada Byron met Bo.", [(0, 9, "person"), (14, 16, "person")]),
    ("Rome is far.", [(0, 4, "place")]),
    ("Bo likes Oslo.", [(0, 2, "person"), (9, 13, "place")]),
    ("Nothing here.", []),
]
TEXTS = [text for text, _ in GOLD]
ENTITIES = [entities for _, entities in GOLD]


def write_tiny_base(folder, tokenizer, *, seed=1, **config):
    """A llama of random weights, as a folder.

    Embeddings are wide and tied, so that an adapter alone can teach it anything.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer.save_pretrained(folder)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": WINDOW,
        "initializer_range": 0.2,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 0,
    }
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**{**shape, **config})).save_pretrained(folder)
    torch.random.set_rng_state(state)
    return folder


def blank_pipeline(base, adapter=None, labels=LABELS, **config):
    """A pipeline of the component alone, not initialised. It reads documents whole where the model
    has room: the toy tokenizer makes many tokens of a sentence."""
    nlp = spacy.blank("en")
    config = {"window_tokens": None, "window_overlap": 0, **config}
    model = {
        "@architectures": "spacy-padellm.CausalLM.v1",
        "name": str(base),
        "adapter": adapter,
        "device": "cpu",
    }
    nlp.add_pipe("padellm_ner", config={"labels": list(labels), "model": model, **config})
    return nlp


def ner_of(nlp):
    return nlp.get_pipe("padellm_ner")


def example(nlp, text, entities):
    return Example.from_dict(nlp.make_doc(text), {"entities": list(entities)})


def gold_examples(nlp):
    return [example(nlp, text, entities) for text, entities in GOLD]


def teach(nlp, steps=80, rate=1e-2):
    """Train until the model generates the entities of the gold sentences."""
    import torch

    torch.manual_seed(0)  # a new adapter starts at random
    examples = gold_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = rate
    optimizer.grad_clip = 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network loses time by sharing its work
    try:
        return [nlp.update(examples, sgd=optimizer)["padellm_ner"] for _ in range(steps)]
    finally:
        torch.set_num_threads(threads)


def found(doc: Doc) -> list[tuple[int, int, str]]:
    """The entities of a Doc as (start_char, end_char, label)."""
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def scored(doc: Doc, key: str = "padellm_ner") -> list[tuple[int, int, str, float]]:
    """The scored spans of a Doc as (start_char, end_char, label, score)."""
    group = doc.spans[key]
    return [
        (span.start_char, span.end_char, span.label_, float(score))
        for span, score in zip(group, group.attrs["scores"], strict=True)
    ]


def same_annotation(docs, others, tolerance=1e-4):
    """Whether two runs gave the same entities and scored spans, scores up to a tolerance."""
    for doc, other in zip(docs, others, strict=True):
        assert doc.text == other.text
        assert found(doc) == found(other), doc.text
        ours, theirs = scored(doc), scored(other)
        assert [span[:3] for span in ours] == [span[:3] for span in theirs], doc.text
        for (*_, score), (*_, its_score) in zip(ours, theirs, strict=True):
            assert abs(score - its_score) <= tolerance, doc.text
    return True


class ScriptedDecoder:
    """Returns the scripted mentions of a text: (label, string, probability)."""

    max_count = 99

    def __init__(self, script):
        self.script = script

    def __call__(self, model, builder, texts, labels, tokens=None, ids=None):
        return [self.prediction(self.script.get(text, []), labels) for text in texts]

    def max_text_tokens(self, builder, labels):
        return None

    @staticmethod
    def prediction(lines, labels):
        import math

        counts = dict.fromkeys(labels, 0)
        mentions = []
        for label, string, probability in lines:
            counts[label] += 1
            logprobs = (math.log(probability),)
            mentions.append(Mention(label, counts[label], string, logprobs, ended=True))
        return Prediction(
            tuple(Count(label, number, 0.0) for label, number in counts.items()), tuple(mentions)
        )


def script(nlp: Language, lines) -> Language:
    """Give a pipeline's component scripted mentions."""
    ner_of(nlp).decoder = ScriptedDecoder(lines)
    return nlp
