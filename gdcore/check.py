"""What stands here lives in `gdcore.training.check`; this path stays for those who import it."""

from gdcore.training.check import check_gradient

__all__ = ["check_gradient"]
