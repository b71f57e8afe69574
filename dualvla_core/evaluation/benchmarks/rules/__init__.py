"""The rules that turn an answer into a score: the public ones restated, without randomness, `eval` or fall-back."""
