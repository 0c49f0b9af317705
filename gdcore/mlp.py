"""What stands here lives in `gdcore.models.mlp`; this path stays for those who import it."""

from gdcore.models.mlp import MLP

__all__ = ["MLP"]
