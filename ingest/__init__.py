"""The gateway: bytes from terminals in, one commit, then the answers out. Composes protocols and storage; runs the event loop."""
