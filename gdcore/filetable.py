"""What stands here lives in `gdcore.rows.filetable` and `gdcore.rows.open_table`; this path stays for those who import it."""

from gdcore.rows.filetable import FileTable, TableWarning
from gdcore.rows.open_table import open_table

__all__ = ["FileTable", "TableWarning", "open_table"]
