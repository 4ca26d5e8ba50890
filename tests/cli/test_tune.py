import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from support.pipelines import GOLD, example, ner_of
from typer.testing import CliRunner

from spacy_padellm.cli import app
from spacy_padellm.cli.evaluate import run
from spacy_padellm.cli.inputs import load_inputs
from spacy_padellm.evaluation.tuning import Trial, best, tune

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.fixture
def gold(tmp_path):
    nlp = spacy.blank("en")
    DocBin(docs=[example(nlp, *one).reference for one in GOLD]).to_disk(tmp_path / "gold.spacy")
    return tmp_path / "gold.spacy"


def tune_by_command(*arguments):
    result = CliRunner().invoke(app, ["tune", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def trial(f, slack=None, threshold=0.0):
    return Trial(slack, threshold, {"padellm_f": f, "ents_f": 1 - f})


def test_the_best_and_of_equal_ones_the_first():
    trials = [trial(0.2), trial(0.8, 0.4), trial(0.8, 0.2), trial(0.1, 0.1)]
    assert best(trials) is trials[1]
    assert best(trials, "ents_f") is trials[3]


def test_trials_are_what_the_pipeline_comes_to(taught_folder, gold):
    nlp, ner, examples = load_inputs(taught_folder, gold)
    decoded = []
    trials = tune(nlp, ner, examples, [None, 0.2], [0.0, 0.5, 0.999999], progress=decoded.append)
    assert [(one.count_slack, one.threshold) for one in trials] == [
        (slack, threshold) for slack in (None, 0.2) for threshold in (0.0, 0.5, 0.999999)
    ]
    assert sum(decoded) == 2 * len(GOLD)
    metrics = run(taught_folder, gold).metrics
    assert {key: metrics[key] for key in trials[0].scores} == trials[0].scores
    assert trials[0].scores["padellm_r"] == 1.0
    assert trials[2].scores["ents_r"] < 1.0  # nothing is so sure
    assert ner.decoder.count_slack is None
    assert ner.cfg["threshold"] == 0.0


def test_components_before_it_are_run(taught_folder, gold):
    nlp, ner, examples = load_inputs(taught_folder, gold)
    nlp.add_pipe("sentencizer", first=True)
    tune(nlp, ner, examples, [None], [0.0])
    assert all(example.predicted.has_annotation("SENT_START") for example in examples)


def test_the_pipeline_with_the_best_settings(taught_folder, gold, tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_padellm.evaluation.tuning.SLACKS", (0.3, None))
    output, json = tmp_path / "tuned", tmp_path / "new" / "trials.json"
    code, printed = tune_by_command(taught_folder, gold, "--output", output, "--json", json)
    assert code == 0, printed
    tried = srsly.read_json(json)
    assert len(tried) == 20
    chosen = max(tried, key=lambda one: one["scores"]["padellm_f"])
    assert f"threshold = {chosen['threshold']}" in printed
    ner = ner_of(spacy.load(output))
    assert ner.decoder.count_slack == 0.3 == pytest.approx(chosen["count_slack"])
    assert ner.cfg["threshold"] == pytest.approx(chosen["threshold"])
    code, printed = tune_by_command(taught_folder, gold, "--output", output)
    assert code == 1
    assert "There is something at" in printed


@pytest.mark.parametrize("missing", ["pipeline", "data"])
def test_missing_pipeline_or_data(taught_folder, gold, tmp_path, missing):
    nowhere = tmp_path / "nowhere"
    arguments = (nowhere, gold) if missing == "pipeline" else (taught_folder, nowhere)
    code, printed = tune_by_command(*arguments)
    assert code == 1
    assert "Can't tune" in printed
    assert "nowhere" in printed
