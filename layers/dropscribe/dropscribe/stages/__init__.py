"""The steps of the route, one module each, named as in the state machine. Handlers call these."""
