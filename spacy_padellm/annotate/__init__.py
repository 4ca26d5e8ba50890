"""Annotating large amounts of documents, so that a run can be killed at any moment and go on.

    inputs ── items ──▶ batches ── annotator, in workers ──▶ records, failures ──▶ shards, journal

An item is a document as it lies in its file. Items have numbers, shards hold items of consecutive
numbers, batches never cross a shard's end: what is in a shard follows from the inputs and the
settings alone. A shard counts once the journal says so.
"""
