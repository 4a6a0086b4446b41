"""Pure and deterministic: what is known in, the best windows out."""
