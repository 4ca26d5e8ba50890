"""The second test environment installs the package without its dependencies: its list of them must
be that of pyproject.toml."""

import re
import sys

import pytest
from support.pipelines import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 can't read pyproject.toml")

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def read_requirements(name):
    lines = (ROOT / name).read_text(encoding="utf8").splitlines()
    stated = [Requirement(line) for line in lines if re.match(r"\w", line)]
    return {canonicalize_name(requirement.name): requirement for requirement in stated}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]


@pytest.fixture(scope="module")
def dependencies(project):
    stated = map(Requirement, project["dependencies"])
    return {canonicalize_name(requirement.name): requirement for requirement in stated}


def test_transformers_5_environment_has_all_dependencies_but_one(project, dependencies):
    tools = {
        canonicalize_name(Requirement(tool).name)
        for tool in project["optional-dependencies"]["dev"]
    }
    listed = set(read_requirements("requirements-tf5.txt"))
    assert listed - tools == set(dependencies) - {"spacy-transformers"}
    assert {"pytest", "hypothesis"} <= listed


@pytest.mark.parametrize("name", ["requirements-tf5.txt", "constraints.txt"])
def test_pinned_versions_lie_in_the_ranges_of_the_package(name, dependencies):
    pinned = read_requirements(name)
    checked = 0
    for package, requirement in pinned.items():
        versions = [part.version for part in requirement.specifier if part.operator == "=="]
        if package in dependencies and versions:
            assert dependencies[package].specifier.contains(versions[0]), requirement
            checked += 1
    assert checked >= 4


def test_one_torch_in_both_environments():
    first, second = map(read_requirements, ("constraints.txt", "requirements-tf5.txt"))
    assert str(first["torch"].specifier) == str(second["torch"].specifier)


def test_tests_that_the_makefile_names_exist():
    """Folders and files of the transformers 5 environment."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    paths = re.findall(r"\btests/\w[\w/.]*", makefile)
    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []
