"""Multimodal benchmarks: questions from VLMEvalKit's TSV files, predictions that are kept, rules that score them."""
