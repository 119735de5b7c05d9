"""Fixtures for whoever tests against a Dubhe gateway: `gateway` and `terminal`."""
