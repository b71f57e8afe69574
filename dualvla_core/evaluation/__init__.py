"""How well a policy acts and answers, and how sure one can be of it."""
