"""Who runs the epochs of a fit: one file each."""
