"""Jobs handed to a Ray cluster by its Jobs API over HTTP: Ray places them, our runner meters them.

One object stands for one region: the nodes that carry a resource of their own. Ray itself is not
needed here. It keeps no begin times and pauses nothing, so jobs wait in our queue until they are
due.
"""

from providers.executors.ray.executor import Ray, build

__all__ = ["Ray", "build"]
