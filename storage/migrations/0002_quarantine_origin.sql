-- Where refused bytes came from: the topic of a message, or the address of a connection. Empty for what an older version wrote.

ALTER TABLE quarantine ADD COLUMN origin text NOT NULL DEFAULT '';
