"""What the tests themselves keep to, so that all of them together stay quick."""

import pytest

LARGEST = 4 << 20  # bytes of one parameter


def test_no_parameter_is_large(request: pytest.FixtureRequest) -> None:
    """It would be in memory from the first test to the last, and every fork of a test copies the map of all memory."""
    wrong = [
        f"{item.nodeid}: {name} has {len(value)} bytes: let the test make it"
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        for name, value in item.callspec.params.items()
        if isinstance(value, bytes | str) and len(value) > LARGEST
    ]
    assert not wrong, "\n".join(wrong)
