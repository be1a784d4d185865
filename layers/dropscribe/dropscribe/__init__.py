"""Dropscribe: drop a recording in a bucket, find the transcript beside it."""

__version__ = "0.1.0"
