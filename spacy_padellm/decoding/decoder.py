"""What all decoders share: their parameters, batches by work, and the shape of the answer."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..documents.gold import Gold
from ..documents.prediction import Count, Prediction
from ..engine.language_model import LanguageModel
from ..engine.memory import is_out_of_memory
from ..prompts.tree import PromptTree
from ..prompts.tree_builder import KnownIds, TreeBuilder
from ..tokenization.arrays import Ints
from .lattice import Passage
from .logits import NotFiniteError
from .parallel_prompts import parallel_prompts
from .params import DecodingParams

logger = logging.getLogger(__name__)

CPU_BATCH_TOKENS = 2048
GPU_BATCH_TOKENS = 32768
# Below so many tokens a pass takes as long as it takes to read the weights, or to launch it.
CPU_PASS_TOKENS = 128
GPU_PASS_TOKENS = 1024
MOST_DRAFTS = 8

Kind = TypeVar("Kind", bound="Decoder")


@dataclass(frozen=True)
class Decoder(ABC):
    """Says counts and mentions of texts. All decoders take one set of parameters.

    max_count (int): Most mentions asked for a label of a document.
    max_mention_tokens (int): Most tokens of a mention.
    batch_tokens (int | None): Most prompt tokens decoded together; None chooses by device. A
        single document is never split.
    count_slack (float | None): Hedges the counts: a label has as many mentions as the largest k
        with P(count >= k) above this, between 0 and 1. Less finds more mentions, less precisely.
        None takes the likeliest number, as the paper does. Decoders that say no counts ignore it.
    tag_weight (float): Where the prompt has `tag_text`, how much the text's tags say in the counts,
        from 0 (nothing) to 1 (all): the weight of their log-probabilities in the mean.
    joint_starts (bool): Chooses the first tokens of a label's mentions together, at places that
        rise through the text, so that no two mentions are the same place. Decoders that say one
        answer ignore it.
    constrained (bool): Mentions can only be strings of the text, from the start of a token of the
        document to the end of one. Decoders that say one answer ignore it.
    drafts (int | None): Tokens copied from the text that are fed along with a mention's last one
        and checked in the same pass: fewer passes, the same mentions. None chooses by device and
        batch, 0 feeds none. Only for the tree decoder, and where mentions are constrained.
    graphs (bool | None): Whether passes are captured as CUDA graphs, by their shapes, and replayed;
        None does so on a GPU.
    """

    max_count: int = 99
    max_mention_tokens: int = 64
    batch_tokens: int | None = None
    count_slack: float | None = None
    tag_weight: float = 0.5
    joint_starts: bool = True
    constrained: bool = True
    drafts: int | None = None
    graphs: bool | None = None

    def __post_init__(self) -> None:
        for name in ("max_count", "max_mention_tokens", "batch_tokens"):
            value = getattr(self, name)
            if value is None and name == "batch_tokens":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"The decoder's {name} must be an integer from 1, not {value!r}.")
        drafts = self.drafts
        if drafts is not None and (type(drafts) is not int or drafts < 0):
            raise ValueError(
                f"The decoder's drafts must be null or an integer from 0, not {drafts!r}."
            )
        slack = self.count_slack
        if slack is not None and not (isinstance(slack, float) and 0 < slack < 1):
            raise ValueError(
                "The decoder's count_slack must be null or a probability between 0 and 1, "
                f"not {slack!r}."
            )
        if not 0 <= self.tag_weight <= 1:
            raise ValueError(
                f"The decoder's tag_weight must be from 0 to 1, not {self.tag_weight!r}."
            )

    def __call__(
        self,
        model: LanguageModel,
        builder: TreeBuilder,
        texts: Sequence[str],
        labels: Sequence[str],
        tokens: Sequence[Ints] | None = None,
        ids: KnownIds = None,
    ) -> list[Prediction]:
        """Decode texts; what is said of one does not depend on the others.

        model (LanguageModel): The model.
        builder (TreeBuilder): Writes the prompts.
        texts (Sequence[str]): The documents' texts. A blank one has no mentions; the model isn't
            asked.
        labels (Sequence[str]): The labels to ask for.
        tokens (Sequence[Ints] | None): For each text the start and end character of its tokens
            [tokens, 2], whitespace left out: where constrained mentions start and end. None for
            anywhere but beside a space.
        ids (KnownIds): Token ids of the texts that were tokenised before.
        RETURNS (list[Prediction]): One a text.
        RAISES (ValueError): A text that is longer than the model's window, or for which the
            model's logits are not finite.
        RAISES (MemoryError): A text that alone does not fit the GPU's memory.
        """
        blank = Prediction(tuple(Count(label, 0, 0.0) for label in labels))
        predictions = [blank] * len(texts)
        asked = [i for i, text in enumerate(texts) if text.strip()]
        known = None if ids is None else [ids[i] for i in asked]
        trees = self.ask(builder, [texts[i] for i in asked], labels, known)
        model.check_horizons(trees)
        on_cpu = model.device.type == "cpu"
        budget = self.batch_tokens or (CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS)
        pass_tokens = CPU_PASS_TOKENS if on_cpu else GPU_PASS_TOKENS
        bounds = DecodingParams(
            self.max_count,
            self.max_mention_tokens,
            model.max_positions,
            self.count_slack,
            self.tag_weight,
            self.joint_starts,
            self.constrained,
            MOST_DRAFTS if self.drafts is None else self.drafts,
            pass_tokens if self.drafts is None else 1 << 62,
            not on_cpu if self.graphs is None else self.graphs,
        )
        passages = [
            Passage(text, None if tokens is None else tokens[i]) for i, text in enumerate(texts)
        ]
        if model.network.training:  # a walk over all modules
            model.network.eval()
        waiting = batches([self.work(model, tree) for tree in trees], budget)
        alone: set[int] = set()  # tried again once, with the memory that was given back
        while waiting:
            batch = waiting.pop(0)
            try:
                with model.lock:
                    said = self.decode(
                        model,
                        builder,
                        [trees[i] for i in batch],
                        [passages[asked[i]] for i in batch],
                        bounds,
                    )
            except NotFiniteError:
                # In a row that documents share one's NaN is in all: the fault is one's alone.
                if len(batch) == 1:
                    raise NotFiniteError(texts[asked[batch[0]]]) from None
                waiting[:0] = _halves(batch)
                continue
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                model.give_back_memory()
                if len(batch) == 1 and batch[0] in alone:
                    raise MemoryError(
                        "The GPU's memory does not hold the decoding of one document of "
                        f"{len(trees[batch[0]])} prompt tokens: {texts[asked[batch[0]]][:60]!r}…. "
                        "Split it, ask for fewer labels, or use a smaller base."
                    ) from error
                logger.debug("%d documents don't fit the GPU's memory: trying less", len(batch))
                alone.update(batch if len(batch) == 1 else ())
                waiting[:0] = _halves(batch)
                continue
            for i, prediction in zip(batch, said, strict=True):
                predictions[asked[i]] = prediction
        return predictions

    def gold_trees(self, builder: TreeBuilder, golds: Sequence[Gold]) -> list[PromptTree]:
        """What the model is trained to say, so that this decoder can ask for it.

        builder (TreeBuilder): Writes the prompts.
        golds (Sequence[Gold]): Gold answers.
        RETURNS (list[PromptTree]): One tree with targets each; here all count prompts and mention
            prompts of a document, once.
        """
        return parallel_prompts(builder, golds)

    def ask(
        self,
        builder: TreeBuilder,
        texts: Sequence[str],
        labels: Sequence[str],
        ids: KnownIds = None,
    ) -> list[PromptTree]:
        """RETURNS (list[PromptTree]): What the model is asked first, one tree a text."""
        return builder.question_trees(texts, labels, self.max_count, ids)

    def most_text_tokens(self, builder: TreeBuilder, labels: Sequence[str]) -> int | None:
        """Most tokens of a text that leave room for what is asked and said about it.

        builder (TreeBuilder): Writes the prompts.
        labels (Sequence[str]): The labels to ask for.
        RETURNS (int | None): The tokens; None where the model has room for any number.
        """
        heads = map(builder.count_head, labels)
        free = builder.max_text_tokens(heads, builder.reserved_positions(self.max_count))
        return None if free is None else free - min(self.max_mention_tokens, max(free, 0) // 4)

    @abstractmethod
    def work(self, model: LanguageModel, tree: PromptTree) -> int:
        """RETURNS (int): Tokens of a tree's first pass."""

    @abstractmethod
    def decode(
        self,
        model: LanguageModel,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        passages: Sequence[Passage],
        bounds: DecodingParams,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One a tree, all of them decoded together."""


def batches(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Group documents of like size up to a budget of tokens.

    sizes (Sequence[int]): Tokens of each document.
    budget (int): Tokens a group should hold at most; a document above it is alone.
    RETURNS (list[list[int]]): Indices of each group.
    """
    groups: list[list[int]] = []
    room = 0
    for i in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        if not groups or sizes[i] > room:
            groups.append([])
            room = budget
        groups[-1].append(i)
        room -= sizes[i]
    return groups


def _halves(batch: list[int]) -> list[list[int]]:
    """RETURNS (list[list[int]]): Both halves of a batch; a single document as it is."""
    middle = len(batch) // 2
    return [half for half in (batch[:middle], batch[middle:]) if half]


def decoder_factory(kind: type[Kind]) -> Callable[..., Kind]:
    """RETURNS (Callable): What is registered in spaCy's `misc` registry for a kind of decoder."""

    def make(
        max_count: int = 99,
        max_mention_tokens: int = 64,
        batch_tokens: int | None = None,
        count_slack: float | None = None,
        tag_weight: float = 0.5,
        joint_starts: bool = True,
        constrained: bool = True,
        drafts: int | None = None,
        graphs: bool | None = None,
    ) -> Kind:
        """Make a decoder; see `Decoder` for the parameters.

        RETURNS (Decoder): The decoder.
        RAISES (ValueError): A parameter out of its range.
        """
        return kind(
            max_count,
            max_mention_tokens,
            batch_tokens,
            count_slack,
            tag_weight,
            joint_starts,
            constrained,
            drafts,
            graphs,
        )

    return make
