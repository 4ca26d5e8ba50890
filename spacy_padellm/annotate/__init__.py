"""Annotation of large corpora by a pipeline; a run that was killed continues where it stopped.

`job` holds the settings of a run. `inputs` finds the input files and computes their checksums,
`items` reads their documents, `batches` groups these into batches and shards. `workers` sends the
batches to one or more processes, in which `annotator` runs the pipeline; `document` parses the
items and `records` serializes the annotated documents. `output` writes the folder: the files of
`shard_file`, `manifest` and `journal`, each whole or absent (`durable_files`). `run` connects them.

The documents of a shard depend on the inputs and the settings alone. A shard is done once the
journal has its line.
"""
