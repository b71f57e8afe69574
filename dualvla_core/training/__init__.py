"""Training under DeepSpeed ZeRO: one engine and one loop for specialist, generalist and student."""
