"""Exactly what an archive charges and sends: everything a receiver needs to rebuild the data."""
