"""What all tests share. Hypothesis: a short profile always, `--hypothesis-profile=long` for the night."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["fix_db", "fix_broker", "fix_cli"]

settings.register_profile("short", max_examples=80, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("short"), max_examples=10_000)
settings.load_profile("short")
