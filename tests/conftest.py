"""What all tests share. Hypothesis: a short profile always, `--hypothesis-profile=long` for the night. What takes long begins first."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["fix_db", "fix_broker", "fix_cli"]

settings.register_profile("short", max_examples=80, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("short"), max_examples=10_000)
settings.load_profile("short")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with something slow go first, else the other processes of `make test` would have nothing left to do while the last one runs."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
