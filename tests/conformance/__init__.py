"""Runs the official SDKs against `dropscribe serve`: `make conformance`."""
