"""`python -m dubhe` is `dubhe`."""

from dubhe.cli import main

main()
