"""What stands here lives in `gdcore.report.plots`; this path stays for those who import it."""

from gdcore.report.plots import losses, predictions, spectrum

__all__ = ["losses", "predictions", "spectrum"]
