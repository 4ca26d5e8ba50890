"""Label definitions of the datasets that the published figures are from, by dataset name.

The labels of any other dataset are used as they are.
"""

from wasabi import msg

from .datasets import Dataset

Definitions = dict[str, str]

ENGLISH = {"PER": "person", "LOC": "location", "ORG": "organisation", "MISC": "miscellaneous"}
# Definitions in the language of the texts, for networks that are trained on the dataset.
OWN_LANGUAGE: dict[str, Definitions] = {
    "conll03": ENGLISH,
    "wikigold": ENGLISH,
    "btc": ENGLISH,
    "wnut17": {"creative-work": "creative work"},
    "weibo": {
        "PER.NAM": "人名",
        "PER.NOM": "人物称呼",
        "LOC.NAM": "地名",
        "LOC.NOM": "地点称呼",
        "ORG.NAM": "机构名",
        "ORG.NOM": "机构称呼",
        "GPE.NAM": "行政区名",
        "GPE.NOM": "行政区称呼",
    },
    "resume": {
        "NAME": "姓名",
        "CONT": "国籍",
        "RACE": "民族",
        "TITLE": "职务",
        "EDU": "学历",
        "ORG": "组织机构",
        "PRO": "专业",
        "LOC": "籍贯",
    },
}
FOUR_LABELS = {
    "PER": "person",
    "ORG": "organisation",
    "LOC": "location",
    "MISC": "miscellaneous",
}
# Definitions in English prompts that the shipped adapter was trained on or that are close to them.
# It was trained on no Chinese: on weibo only the work of decoding is compared.
OF_ADAPTER: dict[str, Definitions] = {
    "conll03": FOUR_LABELS,
    "wikigold": FOUR_LABELS,
    "btc": {label: FOUR_LABELS[label] for label in ("PER", "ORG", "LOC")},
    "weibo": {
        "PER.NAM": "person",
        "PER.NOM": "person, nominal",
        "ORG.NAM": "organisation",
        "ORG.NOM": "organisation, nominal",
        "LOC.NAM": "location",
        "LOC.NOM": "location, nominal",
        "GPE.NAM": "geo-political entity",
        "GPE.NOM": "geo-political entity, nominal",
    },
}
# Labels of each dataset → labels of the shipped adapter. wnut17's creative works and products are
# only a part of what wikigold annotates as MISC, and btc has no such label: neither dataset is
# annotated for "miscellaneous".
ADAPTER_LABELS: dict[str, Definitions] = {
    "wikigold": FOUR_LABELS,
    "btc": OF_ADAPTER["btc"],
    "wnut17": {
        "person": "person",
        "corporation": "organisation",
        "group": "organisation",
        "location": "location",
    },
    "conll03": FOUR_LABELS,
}


def labels_of(
    dataset: Dataset, split: str = "test", *, for_adapter: bool = False
) -> tuple[tuple[str, ...], Definitions]:
    """Labels of a dataset, and their definitions in prompts; exit with a message if there are none.

    dataset (Dataset): The dataset.
    split (str): Split whose labels are used.
    for_adapter (bool): Whether the definitions are those of the shipped adapter.
    RETURNS (tuple[tuple[str, ...], Definitions]): The labels, in the order of their definitions
        where all have one, else sorted; the definitions, empty for an unknown dataset.
    """
    definitions = (OF_ADAPTER if for_adapter else OWN_LANGUAGE).get(dataset.name, {})
    labels = dataset.span_labels(split)
    defined = labels <= definitions.keys()
    if not labels and not definitions:
        msg.fail(f"{dataset.path} has no spans", "Their labels are needed for prompts.", exits=1)
    return tuple(definitions if defined else sorted(labels)), definitions


def adapter_labels_of(dataset: Dataset, split: str = "test") -> Definitions:
    """RETURNS (Definitions): Labels of a dataset → labels of a pipeline with the shipped adapter;
    those of an unknown dataset are unchanged."""
    known = ADAPTER_LABELS.get(dataset.name)
    return dict(known or {label: label for label in sorted(dataset.span_labels(split))})
