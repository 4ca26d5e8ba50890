"""Named-entity recognition with a causal language model, decoded in parallel."""

__version__ = "0.1.0"
