"""What stands here lives in `gdcore.report.plots` and `gdcore.report.descent`; this path stays for those who import it."""

from gdcore.report.descent import boundary, path
from gdcore.report.plots import figure, losses, predictions, spectrum

__all__ = ["boundary", "figure", "losses", "path", "predictions", "spectrum"]
