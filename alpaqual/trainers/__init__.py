"""Trainers: plug-ins, one file or folder each."""
