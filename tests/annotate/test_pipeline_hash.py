import shutil
from dataclasses import replace

from spacy_padellm.annotate.run import annotate_files

pytest_plugins = ["support.annotate_fixtures"]


def test_a_copy_of_the_pipeline_is_the_same(job, source, tmp_path, ruler):
    annotate_files(job, [source], tmp_path / "out")
    other = shutil.copytree(ruler, tmp_path / "pipeline")
    annotate_files(replace(job, pipeline=str(other)), [source], tmp_path / "out")
