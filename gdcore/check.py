"""What stands here lives in `gdcore.facts.check`; this path stays for those who import it."""

from gdcore.facts.check import check_gradient

__all__ = ["check_gradient"]
