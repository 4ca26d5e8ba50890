import pytest

from spacy_padellm.annotate.job import Job


@pytest.mark.parametrize("settings", [{"format": "xml"}, {"entities_key": "text"}])
def test_settings_that_are_refused(settings):
    with pytest.raises(ValueError, match="Known are jsonl and spacy|another --entities-key"):
        Job("blank:en", **settings)
