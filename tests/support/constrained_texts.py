"""Texts of the tests of the substring constraint."""

import spacy
from hypothesis import strategies as st

NLP = spacy.blank("en")
MOST = 6
TEXTS = st.lists(
    st.sampled_from(
        ["the", "theatre", "a", "in", " ", " ", " ", "\n", "\t", "é", "北京", "😀", "-", "12"]
    ),
    min_size=1,
    max_size=12,
).map("".join)
WORDS = [
    "the new man in a hat",
    "a hat, a hat",
    "nun in the inn\n",
    "é 北京 😀 a",
    "x",
    "the the the",
]
LABELS = ["a", "new"]
