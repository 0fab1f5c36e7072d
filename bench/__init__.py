"""Benchmarks: ``make bench`` runs them, docs/performance.md explains them."""
