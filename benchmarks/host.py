"""CPU time of the host beside the network, by stage: microseconds per document, with gold answers.

Figure: results/host.json.

python benchmarks/host.py ../shared/data
"""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import spacy
import torch
import typer
from harness.datasets import Dataset, Record, find_datasets
from harness.label_names import labels_of
from harness.options import Data, Lang
from harness.pipelines import component_of
from harness.results import write_results
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

from spacy_padellm.decoding.constraint import Constraint
from spacy_padellm.decoding.lattice import ConstraintText, Lattice, build_lattices
from spacy_padellm.decoding.params import ResolvedParams
from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.documents.prediction import Count, Prediction
from spacy_padellm.documents.spans import Mention
from spacy_padellm.engine.language_model import ROW_TOKENS, LanguageModel
from spacy_padellm.engine.runner import Runner
from spacy_padellm.model.network import load_codec
from spacy_padellm.prompts.layout import pack
from spacy_padellm.prompts.tree import PromptTree
from spacy_padellm.prompts.tree_builder import TreeBuilder
from spacy_padellm.tokenization.codec import one_line
from spacy_padellm.tokenization.token_bytes import TokenBytes
from spacy_padellm.weights.resolver import resolve_weights

UNCUT_TOKENS = 512  # more than any document of the usual datasets, so that none is cut


class GoldDecoder(TreeDecoder):
    """A decoder without a network that returns the gold answers after the work on the host."""

    answers: ClassVar[dict[str, Prediction]] = {}

    def decode(
        self,
        runner: Runner,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        texts: Sequence[ConstraintText],
        params: ResolvedParams,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One gold answer per tree."""
        pack([len(tree) for tree in trees], ROW_TOKENS)
        assert builder.token_bytes is not None
        lattices_of(builder, trees, texts, builder.token_bytes)
        return [self.answers[text.text] for text in texts]


def main(
    data: Data,
    lang: Lang = None,
    documents: Annotated[int, typer.Option(min=1, help="First documents of the dataset")] = 512,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each stage")] = 9,
    name: Annotated[str, typer.Option(help="Name of the dataset; conll03 if empty")] = "",
    write: Annotated[bool, typer.Option(help="Whether to write results/host.json")] = True,
) -> None:
    """Measure the median CPU time of the process, with one thread."""
    torch.set_num_threads(1)
    logging.disable(logging.DEBUG)
    (dataset, *_) = find_datasets(data, [name] if name else None, ("conll03",), lang=lang)
    records = list(dataset.records(limit=documents))
    stages = Stages(pipeline(dataset), records)
    figures = {
        stage: round(microseconds(run, repeat, stages.blank_docs) / len(records), 2)
        for stage, run in stages.all()
    }
    rows = [(stage, f"{figure:.1f}") for stage, figure in figures.items()]
    msg.table(rows, header=("stage", "µs a document"), divider=True, aligns=("l", "r"))
    if write:
        write_results(
            "host",
            {"set": dataset.name, "documents": len(records), "cpu_us_a_document": figures},
        )


def pipeline(dataset: Dataset) -> Language:
    """RETURNS (Language): A pipeline with a tokenizer and no network."""
    labels, definitions = labels_of(dataset, for_adapter=True)
    nlp = spacy.blank(dataset.lang)
    prompt = {"@misc": "spacy-padellm.prompt.v1", "label_definitions": definitions or None}
    config = {"labels": list(labels), "prompt": prompt, "window_tokens": UNCUT_TOKENS}
    nlp.add_pipe("padellm_ner", config=config)
    ner = component_of(nlp)
    ner.decoder = GoldDecoder()
    ner.shim._model = Networkless(load_codec(resolve_weights("smollm2-135m").folder))
    return nlp


class Networkless(LanguageModel):
    """A tokenizer alone."""

    device = torch.device("cpu")
    max_positions = 8192

    def __init__(self, codec: Any):
        super().__init__(SimpleNamespace(training=False), codec)


class Stages:
    """The stages of the work on one batch of documents.

    nlp (Language): The pipeline.
    records (Sequence[Record]): Text and spans of each document.
    """

    def __init__(self, nlp: Language, records: Sequence[Record]):
        self.nlp, self.ner = nlp, component_of(nlp)
        ner = self.ner
        self.texts = [record["text"] for record in records]
        self.blank_docs()
        self.predictions = [
            gold_prediction(record, doc, ner.labels)
            for record, doc in zip(records, self.docs, strict=True)
        ]
        GoldDecoder.answers = dict(zip(self.texts, self.predictions, strict=True))
        self.builder = ner.tree_builder()
        assert self.builder.token_bytes is not None
        self.token_bytes = self.builder.token_bytes
        self.trees = self.builder.question_trees(self.texts, ner.labels)
        self.tokens = [token_bounds(doc) for doc in self.docs]
        self.constraint_texts = list(map(ConstraintText, self.texts, self.tokens))
        self.lattices = self.make_lattices()
        self.scored = ner.predict(self.docs)

    def blank_docs(self) -> None:
        """Make the documents anew, without annotation."""
        self.docs = [self.nlp.make_doc(text) for text in self.texts]

    def all(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """YIELDS (tuple[str, Callable]): Name and function of each stage."""
        yield "spaCy's tokens", lambda: [self.nlp.make_doc(text) for text in self.texts]
        yield "token bounds", lambda: [token_bounds(doc) for doc in self.docs]
        yield "encode", lambda: self.builder.codec.encode_texts(self.texts)
        yield "encode and ask", lambda: self.builder.question_trees(self.texts, self.ner.labels)
        yield "branches and paths", self.paths
        yield "pack", lambda: pack([len(tree) for tree in self.trees], ROW_TOKENS)
        yield "lattices", self.make_lattices
        yield "constraint", lambda: Constraint(self.lattices, 0, torch.device("cpu"))
        yield "align", lambda: list(map(self.ner.align, self.docs, self.predictions))
        yield "annotate", self.annotate
        yield "all but network and constraint", self.pipe
        yield "nlp.pipe: with spaCy's tokens", self.pipe_texts

    def paths(self) -> None:
        """Compute what the first pass needs of each tree."""
        for i, tree in enumerate(self.trees):
            tree.branches()
            self.builder.text_indices(tree)
            tree.paths(i)

    def make_lattices(self) -> list[Lattice]:
        """RETURNS (list[Lattice]): The lattices of all documents."""
        return lattices_of(self.builder, self.trees, self.constraint_texts, self.token_bytes)

    def annotate(self) -> None:
        """Write the spans onto the documents."""
        for doc, spans in zip(self.docs, self.scored, strict=True):
            self.ner.set_annotations([doc], [spans])

    def pipe(self) -> None:
        """Run the component over tokenized documents."""
        for _ in self.ner.pipe(self.docs, batch_size=len(self.docs)):
            pass

    def pipe_texts(self) -> None:
        """Run the pipeline over texts."""
        for _ in self.nlp.pipe(self.texts, batch_size=len(self.texts)):
            pass


def lattices_of(
    builder: TreeBuilder,
    trees: Sequence[PromptTree],
    texts: Sequence[ConstraintText],
    token_bytes: TokenBytes,
) -> list[Lattice]:
    """RETURNS (list[Lattice]): Lattices as decoders make them."""
    tokenized = [token_bytes.text(tree.ids[builder.text_indices(tree)].tolist()) for tree in trees]
    return build_lattices(texts, tokenized, token_bytes, 64)


def gold_prediction(record: Record, doc: Doc, labels: Sequence[str]) -> Prediction:
    """RETURNS (Prediction): The prediction of a perfect model under the constraint."""
    counts = dict.fromkeys(labels, 0)
    bounds = token_bounds(doc)
    starts, ends = set(bounds[:, 0].tolist()), set(bounds[:, 1].tolist())
    mentions = []
    text = record["text"]
    for span in sorted(record["spans"], key=lambda span: (span["label"], span["start"])):
        string = text[span["start"] : span["end"]]
        char_spans = [
            (start, start + len(string))
            for start in range(len(text))
            if text.startswith(string, start) and start in starts and start + len(string) in ends
        ]
        counts[span["label"]] += 1
        n_tokens = 1 + len(string) // 4
        mentions.append(
            Mention(
                span["label"],
                counts[span["label"]],
                one_line(string),
                (-0.01,) * n_tokens,
                True,
                (-0.005,) * n_tokens,
                tuple(char_spans) or ((span["start"], span["end"]),),
            )
        )
    mentions.sort(key=lambda mention: (labels.index(mention.label), mention.index))
    return Prediction(
        tuple(Count(label, number, -0.01) for label, number in counts.items()), tuple(mentions)
    )


def microseconds(run: Callable[[], Any], repeat: int, prepare: Callable[[], None]) -> float:
    """RETURNS (float): Median CPU time of a stage in microseconds, after a warm-up."""
    run()
    times = []
    for _ in range(repeat):
        prepare()
        gc.collect()
        start = time.process_time_ns()
        run()
        times.append((time.process_time_ns() - start) / 1000)
    return median(times)


if __name__ == "__main__":
    typer.run(main)
