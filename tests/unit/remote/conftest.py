"""Tests that change a control file between two deliveries, and have no patience."""

import pytest

from qmailpy.remote import controls


@pytest.fixture(autouse=True)
def _controls_count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "FRESH", 0.0)
