"""Faults in a pipeline's network, and an error handler that keeps what it is given."""

from support.pipelines import ner_of


class ErrorRecorder:
    """An error handler for `nlp.set_error_handler` that goes on.

    errors (dict[str, Exception]): Text of each document that failed → its error.
    """

    def __init__(self):
        self.errors = {}

    def __call__(self, name, component, docs, error):
        for doc in docs:
            assert doc.text not in self.errors, "handled twice"
            self.errors[doc.text] = error


def before_each_pass(nlp, hook):
    """Call a function with the token ids of each forward pass of the network; it may raise.

    RETURNS (torch.utils.hooks.RemovableHandle): Removes the hook.
    """
    network = ner_of(nlp).shim.load().network
    return network.register_forward_pre_hook(
        lambda _, args, kwargs: hook(kwargs["input_ids"]), with_kwargs=True
    )
