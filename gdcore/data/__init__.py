"""Data that the demo trains on: see each file's `source`."""
