"""Weights and gradients of a pipeline's network."""

import torch
from support.pipelines import ner_of
from thinc.api import SGD


def parameters(nlp):
    """Name → parameter, of those that are trained."""
    network = ner_of(nlp).shim.load().network
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def weights(nlp):
    network = ner_of(nlp).shim.load().network
    return {name: value.clone() for name, value in network.state_dict().items()}


def gradients(nlp):
    return {name: p.grad.clone() for name, p in parameters(nlp).items() if p.grad is not None}


def same_weights(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def sgd_without_clipping(rate):
    return SGD(rate, L2=0.0, grad_clip=0.0)
