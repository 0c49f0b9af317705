"""What stands here lives in `gdcore.rows.arrow`; this path stays for those who import it."""

from gdcore.rows.arrow import TableError

__all__ = ["TableError"]
