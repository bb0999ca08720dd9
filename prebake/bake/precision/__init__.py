"""Reduced precision: fp16, bf16, int8 and int4."""
