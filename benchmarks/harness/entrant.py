"""A contender with a model and gold documents, and one run of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spacy_padellm.decoding.autoregressive import AutoregressiveDecoder
from spacy_padellm.documents.prediction import Prediction
from spacy_padellm.engine.batching import BatchQueue
from spacy_padellm.prompts.tree import NO_TARGET, TRUNK
from spacy_padellm.prompts.tree_builder import TreeBuilder
from spacy_padellm.tokenization.codec import one_line

from .contenders import Contender
from .documents import Documents
from .floors import seconds
from .forced import ForcedModel, Work
from .generate import generate
from .script import Script


@dataclass(frozen=True)
class Run:
    """One run over documents.

    seconds (float): Wall-clock time from texts to predictions.
    work (Work): Work of the model.
    as_gold (int): Number of documents whose prediction is the gold answer.
    """

    seconds: float
    work: Work
    as_gold: int


class Entrant:
    """A contender, ready to run over documents with a model.

    contender (Contender): The way of finding entities.
    model (ForcedModel): The model.
    documents (Documents): The documents.
    own_answers (bool): Whether the parallel decoders, whose prompts the model was trained on,
        generate the model's own output. An autoregressive answer is always the gold one.
    params (Any): Further parameters of the decoder.
    """

    def __init__(
        self,
        contender: Contender,
        model: ForcedModel,
        documents: Documents,
        *,
        own_answers: bool = False,
        **params: Any,
    ):
        self.name = contender.name
        self.decoder = contender.decoder(**params)
        self._runner = model.runner(contender.fuses)
        self.model = model
        self.documents = documents
        self._builder = TreeBuilder(model.codec, documents.prompt, model.max_positions)
        self._generates = contender.generate
        trees = self.decoder.gold_trees(self._builder, documents.golds)
        autoregressive = isinstance(self.decoder, AutoregressiveDecoder)
        self._script = None if own_answers and not autoregressive else Script(trees)
        self._answers = [
            # The tags of a text are targets of its trunk, and no part of the answer.
            tree.target[(tree.target != NO_TARGET) & (tree.label != TRUNK)].tolist()
            if autoregressive
            else []
            for tree in trees
        ]

    def run(self, indices: Sequence[int] | None = None) -> Run:
        """RETURNS (Run): A run over the documents of these indices, or all."""
        chosen = range(len(self.documents)) if indices is None else indices
        part = self.documents.pick(chosen)
        work = Work()
        self.model.script, self.model.work = self._script, work
        if self._generates:
            took, answers = seconds(lambda: self._generate(part, chosen), self.model.device)
            pairs = zip(answers, chosen, strict=True)
            as_gold = sum(answer == self._answers[i] for answer, i in pairs)
        else:
            took, predictions = seconds(lambda: self._decode(part), self.model.device)
            golds = zip(predictions, part.golds, strict=True)
            as_gold = sum(is_gold(prediction, gold.mentions) for prediction, gold in golds)
        return Run(took, work, as_gold)

    def _decode(self, part: Documents) -> list[Prediction]:
        return self.decoder(self._runner, self._builder, part.texts, part.labels, part.tokens)

    def _generate(self, part: Documents, chosen: Sequence[int]) -> list[list[int]]:
        trees = self.decoder.question_trees(self._builder, part.texts, part.labels)
        params = self.decoder.resolve(self.model.device, self.model.max_positions)
        generated: list[list[int]] = [[] for _ in trees]
        queue = BatchQueue([len(tree) for tree in trees], params.batch_tokens)
        for batch in queue:
            answers = [self._answers[chosen[i]] for i in batch]
            try:
                rows = generate(self.model, [trees[i] for i in batch], answers)
            except Exception as error:
                queue.retry_smaller(batch, error, "One document does not fit the GPU's memory.")
                continue
            for i, row in zip(batch, rows, strict=True):
                generated[i] = row
        return generated


def is_gold(prediction: Prediction, mentions: dict[str, list[str]]) -> bool:
    """RETURNS (bool): Whether counts and mentions are the gold ones."""
    predicted: dict[str, list[str]] = {label: [] for label in mentions}
    for mention in prediction.mentions:
        predicted[mention.label].append(mention.text)
    numbers = {count.label: count.number for count in prediction.counts}
    return all(
        predicted[label] == [one_line(text).strip() for text in gold]
        and numbers[label] == len(gold)
        for label, gold in mentions.items()
    )
