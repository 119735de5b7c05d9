"""The window: HTTP for people and programs. Meets the gateway only in the database."""
