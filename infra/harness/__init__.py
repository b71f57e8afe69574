"""Closed-loop rollouts on ``vla-eval``: benchmark, policy server, and the supervisor that runs them to completion."""
