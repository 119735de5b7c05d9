"""A terminal you can run: JT/T 808 terminals, fleets, faults, replays and load, for tests, demos and measurements."""
