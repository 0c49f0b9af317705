"""What stands here lives in `gdcore.rows.sources`; this path stays for those who import it."""

from gdcore.rows.sources import TableError

__all__ = ["TableError"]
