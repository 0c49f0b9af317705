"""What is known of a problem beside its epochs: spectrum, metrics, Hessians, proofs, and what checks gradients."""
