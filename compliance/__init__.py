"""The rules of the road: who may run, and how they drove. Knows only tracks."""
