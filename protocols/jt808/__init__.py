"""JT/T 808 (2011, 2013, 2019): frames, messages, fixes and receipts."""
