"""`dropscribe serve`: the transcription API, answered by an engine on this machine.

app, job ──▶ backend ── protocol ──▶ N workers
HTTP         decoding,               one process each, with the engine loaded: what takes too long,
contract     answers                 or whose caller has gone, is killed; speaking tells voices
"""
