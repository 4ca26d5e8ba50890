"""The factory as spaCy knows it."""

pytest_plugins = ["support.pipeline_fixtures"]


def test_analysis_of_pipes_knows_what_is_assigned(tiny):
    summary = tiny.analyze_pipes()["summary"]["padellm_ner"]
    assert set(summary["assigns"]) == {"doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"}
