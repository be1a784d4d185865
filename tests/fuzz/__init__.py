"""Thousands of damaged and forged recordings through the normalize step: `make fuzz`.

Every input ends in tracks and chunks or in `Rejected`, nothing is left, nothing opened elsewhere.
"""
