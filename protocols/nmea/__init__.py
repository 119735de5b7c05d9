"""NMEA 0183 of GNSS modules with Beidou, and the text sentences of Beidou short-message units."""
