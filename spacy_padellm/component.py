"""The pipeline component: docs in, annotations out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from spacy import util
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer
from thinc.types import Floats1d

from .alignment import MODES, align
from .annotate import Deduplicate, annotate
from .labels import check_labels, labels_of
from .prompts import Prompt
from .scoring import ner_score
from .spans import ScoredSpan
from .tree import PromptTree

if TYPE_CHECKING:
    from .decoding.decoder import Decoder
    from .decoding.prediction import Prediction
    from .tree_builder import TreeBuilder

logger = logging.getLogger(__name__)

DEFAULT_CONFIG = """
[padellm_ner]
labels = []
spans_key = "padellm_ner"
threshold = 0.0
alignment_mode = "expand"
update_tokens = 4096
scorer = {"@scorers": "spacy-padellm.ner_scorer.v1"}

[padellm_ner.prompt]
@misc = "spacy-padellm.prompt.v1"
lang = "en"
label_definitions = null

[padellm_ner.deduplicate]
@misc = "spacy-padellm.deduplicate_by_span.v1"

[padellm_ner.decoder]
@misc = "spacy-padellm.tree_decoder.v1"
max_count = 99
max_mention_tokens = 64
batch_tokens = null

[padellm_ner.model]
@architectures = "spacy-padellm.CausalLM.v1"
name = "smollm2-135m"
adapter = null
device = null
dtype = null
"""


@Language.factory(
    "padellm_ner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config=Config().from_str(DEFAULT_CONFIG)["padellm_ner"],
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_per_type": None,
        "padellm_f": 0.0,
        "padellm_p": 0.0,
        "padellm_r": 0.0,
        "padellm_per_type": None,
    },
)
def make_padellm_ner(
    nlp: Language,
    name: str,
    model: Model[list[PromptTree], Floats1d],
    labels: list[str],
    prompt: Prompt,
    decoder: Decoder,
    deduplicate: Deduplicate,
    spans_key: str,
    threshold: float,
    alignment_mode: str,
    update_tokens: int,
    scorer: Callable | None,
) -> PadellmNER:
    """Registered as the factory `padellm_ner`; the arguments are PadellmNER's."""
    return PadellmNER(
        nlp.vocab,
        model,
        name,
        labels=labels,
        prompt=prompt,
        decoder=decoder,
        deduplicate=deduplicate,
        spans_key=spans_key,
        threshold=threshold,
        alignment_mode=alignment_mode,
        update_tokens=update_tokens,
        scorer=scorer,
    )


class PadellmNER(TrainablePipe):
    """Named-entity recognition by parallel decoding of a causal LM (arXiv 2402.04838).

    DOCS: https://spacy.io/api/pipe
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[PromptTree], Floats1d],
        name: str = "padellm_ner",
        *,
        labels: Sequence[str],
        prompt: Prompt,
        decoder: Decoder,
        deduplicate: Deduplicate,
        spans_key: str = "padellm_ner",
        threshold: float = 0.0,
        alignment_mode: str = "expand",
        update_tokens: int = 4096,
        scorer: Callable | None = ner_score,
    ) -> None:
        """Initialize the component; weights load on first need or in `initialize`.

        vocab (Vocab): The shared vocabulary.
        model (thinc.api.Model): The causal LM, see `build_causal_lm`.
        name (str): The component's name in its pipeline.
        labels (Sequence[str]): The labels to ask for; may come later, from `initialize` or
            `add_label`.
        prompt (Prompt): The words of the prompts.
        decoder (Decoder): Says counts and mentions.
        deduplicate (Callable[[Sequence[ScoredSpan]], list[ScoredSpan]]): The rule for spans found
            under several labels.
        spans_key (str): Key of doc.spans for all scored spans.
        threshold (float): Least probability for doc.ents, in [0, 1].
        alignment_mode (str): A mention that ends inside a token: "expand" to whole tokens or
            "drop".
        update_tokens (int): Most tokens of one training pass; a larger batch is split and its
            gradients added up.
        scorer (Callable | None): The scoring method.
        RAISES (ValueError): A label, threshold or mode of the wrong kind.
        """
        if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a probability from 0 to 1, not {threshold!r}.")
        if alignment_mode not in MODES:
            raise ValueError(
                f"alignment_mode must be one of {', '.join(MODES)}, not {alignment_mode!r}."
            )
        self.vocab = vocab
        self.model = model
        self.name = name
        self.prompt = prompt
        self.decoder = decoder
        self.deduplicate = deduplicate
        self.scorer = scorer
        self.cfg: dict[str, Any] = {
            "labels": check_labels(labels),
            "spans_key": spans_key,
            "threshold": threshold,
            "alignment_mode": alignment_mode,
            "update_tokens": update_tokens,
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels, in the order of the prompts."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """RETURNS (list[str]): The labels, for `spacy init labels`."""
        return list(self.cfg["labels"])

    def add_label(self, label: str) -> int:
        """Add a label; the model can be asked for any, but knows only what it was trained on.

        label (str): The label.
        RETURNS (int): 0 if the label was there, otherwise 1.
        RAISES (ValueError): A label that is not a string or is blank.
        """
        check_labels([label])
        if label in self.cfg["labels"]:
            return 0
        self.cfg["labels"] = [*self.cfg["labels"], label]
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
    ) -> None:
        """Load the weights, and find the labels where none are given.

        get_examples (Callable[[], Iterable[Example]]): Gold-standard examples.
        nlp (Language | None): The pipeline.
        labels (list[str] | None): The labels; else those of the config, else all that the first
            10 000 examples have, sorted.
        RAISES (ValueError): No labels anywhere, or one that is not a string.
        """
        validate_get_examples(get_examples, "PadellmNER.initialize")
        if labels is not None:
            self.cfg["labels"] = check_labels(labels)
        elif not self.labels:
            self.cfg["labels"] = labels_of(eg.reference for eg in islice(get_examples(), 10_000))
        self._require_labels()
        self.model.initialize()

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Apply the component to a stream of documents.

        A document that fails does not take its batch with it: the batch is tried again document
        by document, and the error handler gets those that fail alone.

        stream (Iterable[Doc]): A stream of documents.
        batch_size (int): The number of documents to buffer.
        YIELDS (Doc): Processed documents in order.
        """
        for docs in util.minibatch(stream, size=batch_size):
            try:
                predictions = self.predict(docs)
            except Exception:
                for doc in docs:
                    done = self(doc)
                    if done is not None:
                        yield done
                continue
            for doc, spans in zip(docs, predictions, strict=True):
                try:
                    self.set_annotations([doc], [spans])
                except Exception as error:
                    self.get_error_handler()(self.name, self, [doc], error)
                    continue
                yield doc

    def predict(self, docs: Iterable[Doc]) -> list[list[ScoredSpan]]:
        """Find the mentions of documents, without modifying them.

        docs (Iterable[Doc]): The documents.
        RETURNS (list[list[ScoredSpan]]): For each document every span found, with its
            probability; overlaps and spans under several labels included.
        RAISES (ValueError): No labels; a document longer than the model's window.
        """
        docs = list(docs)
        if not docs:
            return []
        self._require_labels()
        model = self.model.shims[0].load()
        said = self.decoder(model, self._builder(), [doc.text for doc in docs], self.labels)
        return [self._align(doc, prediction) for doc, prediction in zip(docs, said, strict=True)]

    def set_annotations(self, docs: Iterable[Doc], scores: Iterable[list[ScoredSpan]]) -> None:
        """Write spans onto documents: all to doc.spans, the ones that stand to doc.ents.

        docs (Iterable[Doc]): The documents.
        scores (Iterable[list[ScoredSpan]]): What `predict` found.
        """
        for doc, spans in zip(docs, scores, strict=True):
            annotate(
                doc, spans, self.deduplicate, self.cfg["spans_key"], float(self.cfg["threshold"])
            )

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from gold entities.

        examples (Iterable[Example]): A batch of examples.
        drop (float): Not used: dropout is the adapter's own (`lora_dropout`).
        sgd (thinc.api.Optimizer | None): The optimizer.
        losses (dict[str, float] | None): Losses so far, by component.
        RETURNS (dict[str, float]): The losses, with this batch's mean negative log-likelihood of
            a target token added.
        RAISES (ValueError): A loss that is not finite, before any weight changed.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "PadellmNER.update")
        self._require_labels()
        losses[self.name] += self._accumulate(examples)
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def get_loss(
        self, examples: Iterable[Example], scores: Floats1d, n_targets: int | None = None
    ) -> tuple[float, Floats1d]:
        """Mean negative log-likelihood of a target token, and its gradient.

        examples (Iterable[Example]): The examples, for the message of an error.
        scores (Floats1d): Negative log-likelihood of each target [targets].
        n_targets (int | None): Targets of the whole batch where scores are a part of it.
        RETURNS (tuple[float, Floats1d]): The loss, and its gradient [targets].
        RAISES (ValueError): A loss that is not finite.
        """
        total = n_targets or len(scores)
        loss = float(scores.sum()) / max(1, total)
        if loss != loss or loss in (float("inf"), float("-inf")):
            texts = "; ".join(repr(eg.reference.text[:60]) for eg in examples)
            raise ValueError(
                f"The loss is {loss}, so nothing was learnt from this batch. Lower the learning "
                f"rate. Its documents: {texts}"
            )
        return loss, scores * 0 + 1 / max(1, total)

    def _accumulate(self, examples: list[Example]) -> float:
        from .decoding.decoder import batches
        from .reformulate import reformulate

        trees = reformulate(examples, self.labels, self._builder())
        n_targets = sum(tree.n_targets for tree in trees)
        loss = 0.0
        for part in batches([len(tree) for tree in trees], self.cfg["update_tokens"]):
            nll, backprop = self.model.begin_update([trees[i] for i in part])
            part_loss, gradient = self.get_loss(examples, nll, n_targets)
            backprop(gradient)
            loss += part_loss
        return loss

    def _builder(self) -> TreeBuilder:
        from .tree_builder import TreeBuilder

        model = self.model.shims[0].load()
        return TreeBuilder(model.codec, self.prompt, model.max_positions)

    def _align(self, doc: Doc, prediction: Prediction) -> list[ScoredSpan]:
        alignment = align(doc, prediction.mentions, mode=self.cfg["alignment_mode"])
        for mention, reason in alignment.unaligned:
            logger.debug("%s: no span for %r (%s): %s", self.name, mention.text, mention.label, reason)
        for count in prediction.counts:
            if count.bounded:
                logger.warning(
                    "%s: the model says %s or more mentions of %r in a document of %d characters; "
                    "the decoder's max_count is %d.",
                    self.name,
                    count.number,
                    count.label,
                    len(doc.text),
                    self.decoder.max_count,
                )
        return alignment.spans

    def _require_labels(self) -> None:
        if not self.labels:
            raise ValueError(
                f"Component {self.name!r} has no labels, so there is nothing to ask for. Give them "
                'in the config (labels = ["person"]), by nlp.get_pipe('
                f'{self.name!r}).add_label("person"), or by nlp.initialize with gold documents.'
            )

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the component: settings, and the adapter with its base's name and sha256.

        exclude (Iterable[str]): Names of fields to leave out ("cfg", "vocab", "model").
        RETURNS (bytes): The message.
        """
        serialize = {
            "cfg": lambda: srsly.json_dumps(self.cfg),
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "model": self.model.shims[0].to_bytes,
        }
        return util.to_bytes(serialize, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> PadellmNER:
        """Load the component from what `to_bytes` wrote; the base loads on first need.

        bytes_data (bytes): The message.
        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (PadellmNER): This component.
        """
        deserialize = {
            "cfg": lambda data: self.cfg.update(srsly.json_loads(data)),
            "vocab": lambda data: self.vocab.from_bytes(data, exclude=exclude),
            "model": self.model.shims[0].from_bytes,
        }
        util.from_bytes(bytes_data, deserialize, exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Serialize the component to a folder: "model" in it is a folder too.

        path (str | Path): The folder.
        exclude (Iterable[str]): Names of fields to leave out.
        """
        serialize = {
            "cfg": lambda place: srsly.write_json(place, self.cfg),
            "vocab": lambda place: self.vocab.to_disk(place, exclude=exclude),
            "model": self.model.shims[0].to_disk,
        }
        util.to_disk(path, serialize, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> PadellmNER:
        """Load the component from what `to_disk` wrote; the base loads on first need.

        path (str | Path): The folder.
        exclude (Iterable[str]): Names of fields to leave out.
        RETURNS (PadellmNER): This component.
        """
        deserialize = {
            "cfg": lambda place: self.cfg.update(srsly.read_json(place)),
            "vocab": lambda place: self.vocab.from_disk(place, exclude=exclude),
            "model": self.model.shims[0].from_disk,
        }
        util.from_disk(path, deserialize, exclude)
        return self
