"""The ways of finding entities that are compared, and one run of a way over gold documents."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from documents import Documents
from floor import seconds
from forced import Dictation, ForcedModel, Script, Work
from wasabi import msg

from spacy_padellm.decoding.augmented import make_autoregressive_aug_decoder
from spacy_padellm.decoding.autoregressive import AutoregressiveDecoder
from spacy_padellm.decoding.decoder import CPU_BATCH_TOKENS, GPU_BATCH_TOKENS, Decoder, batches
from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.struct import make_autoregressive_struct_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.documents.prediction import Prediction
from spacy_padellm.engine.memory import is_out_of_memory
from spacy_padellm.prompts.tree import NO_TARGET, TRUNK, PromptTree
from spacy_padellm.prompts.tree_builder import TreeBuilder
from spacy_padellm.tokenization.codec import one_line

FUSED = "fused"  # a lever of the model, not of its decoder
# Every lever off; a decoder that has no such setting is without the lever anyway.
PLAIN: dict[str, Any] = {
    "joint_starts": False,
    "constrained": False,
    "tag_weight": 0.0,
    "drafts": 0,
    "graphs": False,
}
NEEDS_CUDA = frozenset(["graphs", FUSED])
DRAFTS = 8
ALL_TOGETHER = 1 << 40  # budget of tokens of a batch that is never split


@dataclass(frozen=True)
class Contender:
    """A way of finding entities.

    name (str): Its name in tables and results.
    make (Callable[..., Decoder]): Makes its decoder.
    levers (dict[str, Any]): Settings of the decoder that are on; it must have them. FUSED is one
        of the model.
    plain (bool): Whether all other levers are off, or as they are shipped.
    generate (bool): Whether transformers' `generate` answers the decoder's question instead.
    """

    name: str
    make: Callable[..., Decoder]
    levers: dict[str, Any] = field(default_factory=dict)
    plain: bool = True
    generate: bool = False

    def lacks(self, device: torch.device) -> str | None:
        """RETURNS (str | None): Why it can't run; None if it can."""
        known = inspect.signature(self.make).parameters
        if unknown := [name for name in self.levers if name not in {*known, FUSED}]:
            return f"its decoder has no setting {', '.join(unknown)}"
        if device.type != "cuda" and (cuda := NEEDS_CUDA.intersection(self.levers)):
            return f"{', '.join(cuda)} needs CUDA"
        return None

    def decoder(self, **bounds: Any) -> Decoder:
        """RETURNS (Decoder): The decoder, with further settings of its bounds."""
        known = inspect.signature(self.make).parameters
        plain = {name: value for name, value in PLAIN.items() if self.plain and name in known}
        levers = {name: value for name, value in self.levers.items() if name != FUSED}
        return self.make(**{**plain, **levers, **bounds})

    @property
    def fuses(self) -> bool | None:
        """RETURNS (bool | None): What the model's layers are told (`LanguageModel.fuses`)."""
        return self.levers.get(FUSED, False if self.plain else None)


def _levers_in_turn() -> Iterator[Contender]:
    levers: dict[str, Any] = {}
    name = "tree"
    for lever, value in (
        ("constrained", True),
        ("joint_starts", True),
        ("tag_weight", 0.5),
        ("drafts", DRAFTS),
        ("graphs", True),
        (FUSED, True),
    ):
        levers = {**levers, lever: value}
        name = f"{name} + {lever}"
        yield Contender(name, make_tree_decoder, levers)


STRUCT_GENERATE = "struct, generate"
STRUCT = "struct"
REPLICATED = "replicated"
STRUCT_GRAPHS, REPLICATED_GRAPHS = "struct + graphs", "replicated + graphs"
STRUCT_FUSED, REPLICATED_FUSED = f"{STRUCT_GRAPHS} + fused", f"{REPLICATED_GRAPHS} + fused"
WITH_GRAPHS: dict[str, Any] = {"graphs": True}
FUSED_GRAPHS: dict[str, Any] = {"graphs": True, FUSED: True}
AGAINST = (
    STRUCT_GENERATE,
    STRUCT,
    STRUCT_GRAPHS,
    STRUCT_FUSED,
    REPLICATED,
    REPLICATED_GRAPHS,
    REPLICATED_FUSED,
)  # what ratios are to
CONTENDERS = (
    Contender(STRUCT_GENERATE, make_autoregressive_struct_decoder, generate=True),
    Contender("aug, generate", make_autoregressive_aug_decoder, generate=True),
    Contender(STRUCT, make_autoregressive_struct_decoder),
    Contender("aug", make_autoregressive_aug_decoder),
    Contender(STRUCT_GRAPHS, make_autoregressive_struct_decoder, WITH_GRAPHS),
    Contender(STRUCT_FUSED, make_autoregressive_struct_decoder, FUSED_GRAPHS),
    Contender("aug + graphs", make_autoregressive_aug_decoder, WITH_GRAPHS),
    Contender("aug + graphs + fused", make_autoregressive_aug_decoder, FUSED_GRAPHS),
    Contender(REPLICATED, make_replicated_decoder),
    Contender(REPLICATED_GRAPHS, make_replicated_decoder, WITH_GRAPHS),
    Contender(REPLICATED_FUSED, make_replicated_decoder, FUSED_GRAPHS),
    Contender("tree", make_tree_decoder),
    *_levers_in_turn(),
    Contender("tree + graphs", make_tree_decoder, WITH_GRAPHS),
    Contender("tree + graphs + fused", make_tree_decoder, FUSED_GRAPHS),
    Contender("tree, as shipped", make_tree_decoder, plain=False),
)


def able(device: torch.device, names: Sequence[str] = ()) -> list[Contender]:
    """The contenders that can run; why others can't is printed.

    device (torch.device): Where they are to run.
    names (Sequence[str]): Those wanted; all if none is given.
    RETURNS (list[Contender]): In the order of CONTENDERS.
    """
    known = [one.name for one in CONTENDERS]
    if unknown := set(names) - set(known):
        msg.fail(f"No contender {sorted(unknown)}", f"Known are: {'; '.join(known)}", exits=1)
    found = []
    for one in CONTENDERS:
        if names and one.name not in names:
            continue
        if reason := one.lacks(device):
            msg.warn(f"{one.name}: left out, {reason}")
        else:
            found.append(one)
    return found


@dataclass(frozen=True)
class Run:
    """One run over documents.

    seconds (float): On the clock, from texts to what was said.
    work (Work): What the model did.
    as_gold (int): Documents of which was said what is gold.
    """

    seconds: float
    work: Work
    as_gold: int


class Entrant:
    """A contender, ready to run over documents with a model.

    contender (Contender): The way.
    model (ForcedModel): The model.
    documents (Documents): The documents.
    own_answers (bool): Whether the model says what it will, where it was trained for the prompts:
        those of the parallel decoders. An autoregressive answer is always the gold one.
    bounds (Any): Further settings of the decoder.
    """

    def __init__(
        self,
        contender: Contender,
        model: ForcedModel,
        documents: Documents,
        *,
        own_answers: bool = False,
        **bounds: Any,
    ):
        self.name = contender.name
        self.decoder = contender.decoder(**bounds)
        self._fuses = contender.fuses
        self.model = model
        self.documents = documents
        self._builder = TreeBuilder(model.codec, documents.prompt, model.max_positions)
        self._generates = contender.generate
        golds = self.decoder.gold_trees(self._builder, documents.golds)
        autoregressive = isinstance(self.decoder, AutoregressiveDecoder)
        self._script = None if own_answers and not autoregressive else Script(golds)
        self._answers = [
            # The tags of a text are targets of its trunk, and no part of the answer.
            tree.target[(tree.target != NO_TARGET) & (tree.label != TRUNK)].tolist()
            if autoregressive
            else []
            for tree in golds
        ]

    def run(self, indices: Sequence[int] | None = None) -> Run:
        """RETURNS (Run): A run over some of the documents, or all."""
        chosen = range(len(self.documents)) if indices is None else indices
        part = self.documents.pick(chosen)
        work = Work()
        self.model.script, self.model.work = self._script, work
        self.model.fuses = self._fuses
        say = self._generate if self._generates else self._decode
        took, said = seconds(lambda: say(part, chosen), self.model.device)
        if self._generates:
            as_gold = sum(one == self._answers[i] for one, i in zip(said, chosen, strict=True))
        else:
            pairs = zip(said, part.golds, strict=True)
            as_gold = sum(says_gold(one, gold.mentions) for one, gold in pairs)
        return Run(took, work, as_gold)

    def _decode(self, part: Documents, _: Sequence[int]) -> list[Prediction]:
        return self.decoder(self.model, self._builder, part.texts, part.labels, part.tokens)

    def _generate(self, part: Documents, chosen: Sequence[int]) -> list[list[int]]:
        trees = self.decoder.ask(self._builder, part.texts, part.labels)
        on_cpu = self.model.device.type == "cpu"
        budget = self.decoder.batch_tokens or (CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS)
        said: list[list[int]] = [[] for _ in trees]
        waiting = batches([len(tree) for tree in trees], budget)
        while waiting:
            batch = waiting.pop(0)
            answers = [self._answers[chosen[i]] for i in batch]
            try:
                found = generate(self.model, [trees[i] for i in batch], answers)
            except Exception as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                waiting[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
                continue
            for i, one in zip(batch, found, strict=True):
                said[i] = one
        return said


def generate(
    model: ForcedModel, trees: Sequence[PromptTree], answers: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Plain greedy `generate` of transformers, prompts padded on the left.

    model (ForcedModel): The model.
    trees (Sequence[PromptTree]): The questions.
    answers (Sequence[Sequence[int]]): What is to be said, the end with it.
    RETURNS (list[list[int]]): What was said, as many tokens as the answer has.
    """
    from transformers import LogitsProcessorList

    longest = max(map(len, trees))
    ids = torch.zeros(len(trees), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tree in enumerate(trees):
        ids[row, longest - len(tree) :] = torch.from_numpy(tree.ids)
        mask[row, longest - len(tree) :] = 1
    dictation = Dictation(
        answers, model.codec.end_id, sum(map(len, trees)), model.work, model.device
    )
    with torch.inference_mode():
        said = model.network.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=dictation.n_steps,
            do_sample=False,
            use_cache=True,
            pad_token_id=model.codec.tokenizer.eos_token_id or 0,
            logits_processor=LogitsProcessorList([dictation]),
        )
    found = said[:, longest:].tolist()
    return [one[: len(answer)] for one, answer in zip(found, answers, strict=True)]


def says_gold(prediction: Prediction, mentions: dict[str, list[str]]) -> bool:
    """RETURNS (bool): Whether counts and mentions are the gold ones."""
    said: dict[str, list[str]] = {label: [] for label in mentions}
    for mention in prediction.mentions:
        said[mention.label].append(mention.text)
    numbers = {count.label: count.number for count in prediction.counts}
    return all(
        said[label] == [one_line(one).strip() for one in gold] and numbers[label] == len(gold)
        for label, gold in mentions.items()
    )
