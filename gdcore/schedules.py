"""What stands here lives in `gdcore.optimizers.schedules`; this path stays for those who import it."""

from gdcore.optimizers.schedules import Constant, Cosine, Inverse, Root, Step, constant, cosine, inverse, root, step

__all__ = ["Constant", "Cosine", "Inverse", "Root", "Step", "constant", "cosine", "inverse", "root", "step"]
