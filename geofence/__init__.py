"""The geometry: fences, corridors, stops, and what happens to vehicles among them. Knows only tracks."""
