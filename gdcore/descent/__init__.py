"""What a descent is made of: what is minimised (`problem`), how (`plan`), where it stands (`state`), when it ends (`stop`).

Solvers and training are built on these types; nothing here knows of either.
"""
