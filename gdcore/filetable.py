"""What stands here lives in `gdcore.rows.filetable`; this path stays for those who import it."""

from gdcore.rows.filetable import FileTable, TableWarning, open_table

__all__ = ["FileTable", "TableWarning", "open_table"]
