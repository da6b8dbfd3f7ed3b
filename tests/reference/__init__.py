"""Slow float64 references, written from the papers with Python loops, without ``class_totals``."""
