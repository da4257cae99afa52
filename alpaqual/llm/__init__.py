"""Providers of models: one request to one model."""
