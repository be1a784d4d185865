"""Dropscribe: drop a recording into a bucket, find the transcript in another one."""

__version__ = "0.1.0"
