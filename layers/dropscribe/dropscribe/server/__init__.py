"""`dropscribe serve`: the transcription API, answered by an engine on this machine.

app ──▶ backend ──▶ N workers
HTTP    decoding,   one process each, with the engine loaded: what takes too long, or whose
contract answers    caller has gone, is killed
"""
