"""The small process that runs one attempt at one job on the node where it runs."""
