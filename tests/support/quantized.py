"""Helpers for tests of quantized models."""


def layers(model, kind):
    """The layers of exactly this class."""
    return [layer for layer in model.network.modules() if type(layer) is kind]


def counts_and_mentions(predictions):
    """Counts and mentions, without probabilities."""
    return [
        (
            [(count.label, count.number) for count in prediction.counts],
            [(mention.label, mention.text) for mention in prediction.mentions],
        )
        for prediction in predictions
    ]
