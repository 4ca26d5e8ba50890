"""The factory `padellm_ner` and its default settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from spacy.language import Language
from thinc.api import Config, Model
from thinc.types import Floats1d

from ..documents.span_getters import SpanGetter, ensure_registry
from ..prompts.prompt import Prompt
from ..prompts.tree import PromptTree
from .component import PadellmNER
from .deduplicate import Deduplicate

if TYPE_CHECKING:
    from ..decoding.decoder import Decoder

ensure_registry()

DEFAULT_CONFIG = """
[padellm_ner]
labels = []
spans_key = "padellm_ner"
threshold = 0.0
alignment_mode = "expand"
update_tokens = null
window_tokens = null
window_overlap = 64
scorer = {"@scorers": "spacy-padellm.ner_scorer.v1"}

[padellm_ner.prompt]
@misc = "spacy-padellm.prompt.v1"
lang = "en"
label_definitions = null
both_ways = false
echo = false
tag_text = false

[padellm_ner.deduplicate]
@misc = "spacy-padellm.deduplicate_by_span.v1"

[padellm_ner.get_spans]
@span_getters = "spacy-padellm.doc_spans.v1"

[padellm_ner.decoder]
@misc = "spacy-padellm.tree_decoder.v1"
max_count = 99
max_mention_tokens = 64
batch_tokens = null
count_slack = null
tag_weight = 0.5
joint_starts = true
constrained = true
drafts = null
graphs = null

[padellm_ner.model]
@architectures = "spacy-padellm.CausalLM.v1"
name = "smollm2-135m"
adapter = null
device = null
dtype = null
save = "adapter"
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
    update_tokens: int | None,
    get_spans: SpanGetter,
    window_tokens: int | None,
    window_overlap: int,
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
        get_spans=get_spans,
        window_tokens=window_tokens,
        window_overlap=window_overlap,
        scorer=scorer,
    )
