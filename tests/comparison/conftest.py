"""What tests of reports of runs from anywhere share."""

import json

import pytest

from ablate.__main__ import called
from ablate.configuration.resolvers import register_resolvers


@pytest.fixture
def reported(tmp_path, monkeypatch, capsys):
    """reported("runs", …): what `ablate report` writes as JSON, in the test's own folder."""
    register_resolvers()
    monkeypatch.chdir(tmp_path)

    def report(*words):
        called("report", [*words, "--json"])
        return json.loads(capsys.readouterr().out)

    return report
