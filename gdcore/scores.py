"""What stands here lives in `gdcore.models.scores`; this path stays for those who import it."""

from gdcore.models.scores import Scaling, Scores, of_loss, of_moments, of_rows

__all__ = ["Scaling", "Scores", "of_loss", "of_moments", "of_rows"]
