"""What stands here lives in `gdcore.facts.spectrum`; this path stays for those who import it."""

from gdcore.facts.spectrum import Spectrum, spectrum

__all__ = ["Spectrum", "spectrum"]
