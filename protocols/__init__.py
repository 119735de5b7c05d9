"""The wire: bytes of terminals as columns and back. Knows only tracks; no sockets, no clock, no event loop."""
