"""What stands here lives in `gdcore.drawing` and `gdcore.report.descent`; this path stays for those who import it."""

from gdcore.drawing import figure, losses, predictions, spectrum
from gdcore.report.descent import boundary, path

__all__ = ["boundary", "figure", "losses", "path", "predictions", "spectrum"]
