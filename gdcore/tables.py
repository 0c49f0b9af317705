"""What stands here lives in `gdcore.rows.tables`; this path stays for those who import it."""

from gdcore.rows.tables import Piece, Table

__all__ = ["Piece", "Table"]
