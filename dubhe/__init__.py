"""The front door: the `dubhe` command. May import every room; no room imports it."""
