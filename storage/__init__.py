"""The tables: fixes, registry, quarantine in PostgreSQL. Knows only the nouns; the only room that knows psycopg."""
