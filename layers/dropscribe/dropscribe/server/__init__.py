"""`dropscribe serve`: the transcription API, answered by an engine on this machine.

app, job ──▶ backend ──▶ N workers
HTTP         decoding,   one process each, with the engine loaded: what takes too long, or
contract     answers     whose caller has gone, is killed
"""
