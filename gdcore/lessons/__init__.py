"""Material for lessons: sheets to compute by hand, loops that are broken on purpose, and what is wrong with a loop."""

from gdcore.lessons import broken as broken
from gdcore.lessons import sheets as sheets
