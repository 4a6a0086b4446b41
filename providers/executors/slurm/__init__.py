"""Jobs handed to a Slurm cluster: Slurm queues and places them, our runner meters them there.

One object stands for one region: a partition, or a cluster (``-M``), of its own. The run folder
lies on a file system that the nodes share; everything that counts is read from it, and Slurm is
asked only where the folder does not say.
"""

from providers.executors.slurm.executor import Slurm, build

__all__ = ["Slurm", "build"]
