"""The nouns: what a fix, a terminal, a verdict are, as columns. numpy only; imports no other room."""
