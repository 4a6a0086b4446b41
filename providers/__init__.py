"""Touches the world: carbon data, meters, engines, and the runner beside the job."""
