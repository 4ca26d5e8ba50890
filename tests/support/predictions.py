"""Predictions as plain tuples, to compare."""


def mention_fields(prediction):
    """RETURNS (list[tuple]): Label, index, text and `ended` of each mention."""
    return [
        (mention.label, mention.index, mention.text, mention.ended)
        for mention in prediction.mentions
    ]


def count_fields(prediction):
    """RETURNS (list[tuple]): Label, number and `bounded` of each count."""
    return [(count.label, count.number, count.bounded) for count in prediction.counts]
