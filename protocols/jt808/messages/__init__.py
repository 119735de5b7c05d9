"""Declarations of the messages, by chapter of the standard."""
