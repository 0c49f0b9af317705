"""What is trained: `linear.Linear` and `mlp.MLP`; how good it is (`scores`)."""

from gdcore.models.linear import Linear as Linear
